from __future__ import annotations

import math

import pytest

from boatseg_core.config import Settings
from boatseg_core.errors import TrainingError
from boatseg_core.training import tune as tune_module
from boatseg_core.training.fit import resolve
from boatseg_core.training.tune import tune


def with_tune(settings: Settings, **fields) -> Settings:
    return settings.model_copy(update={"tune": settings.tune.model_copy(update=fields)})


class Landscape:
    """Stands in for the training: the score of a trial is known beforehand."""

    def __init__(self, *finals, seconds=0.0):
        self.finals, self.asked, self.seconds = list(finals), [], seconds
        self.now = 0.0

    def fit(self, gold, settings, chosen, *, work, on_epoch, progress):
        self.asked.append(chosen)
        final = self.finals[len(self.asked) - 1]
        if isinstance(final, Exception):
            raise final
        for epoch in (1, 2, 3):
            self.now += self.seconds
            share = epoch / 3
            on_epoch(
                {
                    "step": chosen.max_steps * share,
                    "epoch": epoch,
                    "score": final * share,
                    "valid_boat_iou": final * share,
                    "valid_per_image_iou": 0.9,
                    "valid_floor_per_image_iou": 0.75,
                }
            )


@pytest.fixture
def landscape(monkeypatch):
    def use(*finals, seconds=0.0):
        stage = Landscape(*finals, seconds=seconds)
        monkeypatch.setattr(tune_module, "fit", stage.fit)
        monkeypatch.setattr(tune_module.time, "monotonic", lambda: stage.now)
        return stage

    return use


def test_a_real_study_gives_what_train_accepts(gold, settings, tmp_path):
    told = []
    result = tune(gold, settings, work=tmp_path, on_trial=told.append)
    assert result.trials == told and len(told) == 2
    assert result.best_value == pytest.approx(max(row["value"] for row in told))
    chosen = resolve(settings, result.best_params)
    assert chosen.architecture == "Unet"
    assert 1e-4 <= chosen.learning_rate <= 5e-3 and 0.5 <= chosen.positive_share <= 0.9
    assert told[0]["params"]["learning_rate"] == pytest.approx(settings.train.learning_rate)
    for row in told:
        assert row["over_floor"] == pytest.approx(row["per_image_iou"] - 0.4)
    assert settings.paths.optuna_journal.is_file()
    assert not list(tmp_path.glob("trial-*"))


def test_the_best_trial_wins_and_the_first_is_the_settings(gold, settings, tmp_path, landscape):
    stage = landscape(0.3, 0.6, 0.4)
    result = tune(gold, with_tune(settings, trials=3), work=tmp_path)
    assert stage.asked[0].learning_rate == settings.train.learning_rate
    assert stage.asked[0].positive_share == settings.train.positive_share
    assert all(chosen.max_steps == settings.tune.steps for chosen in stage.asked)
    assert result.best_value == 0.6 and result.best_params == result.trials[1]["params"]
    assert result.trials[1]["over_floor"] == pytest.approx(0.15)


def test_trials_below_the_median_are_pruned(gold, settings, tmp_path, landscape):
    landscape(0.6, 0.5, 0.1)
    result = tune(gold, with_tune(settings, trials=3), work=tmp_path)
    states = [(row["state"], len(row["history"])) for row in result.trials]
    assert states == [("complete", 3), ("complete", 3), ("pruned", 1)]
    assert "median" in result.trials[2]["reason"]


def test_the_time_budget_ends_a_running_trial_and_starts_no_other(
    gold, settings, tmp_path, landscape
):
    landscape(0.3, 0.9, 0.9, seconds=10.0)
    result = tune(gold, with_tune(settings, trials=3, max_seconds=35.0), work=tmp_path)
    assert [row["state"] for row in result.trials] == ["complete", "pruned"]
    assert "max_seconds" in result.trials[1]["reason"]
    assert result.best_value == 0.3


def test_no_finished_trial_leaves_the_settings(gold, settings, tmp_path, landscape, caplog):
    landscape(0.9, seconds=10.0)
    result = tune(gold, with_tune(settings, max_seconds=5.0), work=tmp_path)
    assert result.best_params == {} and math.isnan(result.best_value)
    assert "no trial finished" in caplog.text


def test_a_failed_trial_does_not_stop_the_study(gold, settings, tmp_path, landscape):
    landscape(TrainingError("the loss became nan"), 0.2)
    result = tune(gold, settings, work=tmp_path)
    assert [row["state"] for row in result.trials] == ["failed", "complete"]
    assert result.trials[0]["reason"] == "the loss became nan"
    assert result.best_value == 0.2


def test_when_all_fail_the_reason_is_told(gold, settings, tmp_path, landscape):
    landscape(*[TrainingError("the encoder is unknown")] * 2)
    with pytest.raises(TrainingError, match=r"every trial .*the encoder is unknown"):
        tune(gold, settings, work=tmp_path)


def test_a_bug_is_not_taken_for_a_failed_trial(gold, settings, tmp_path, landscape):
    landscape(ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        tune(gold, settings, work=tmp_path)


def test_the_same_seed_asks_the_same_and_a_study_goes_on(gold, settings, tmp_path, landscape):
    wide = with_tune(settings, architectures=("Unet", "FPN"), trials=3)
    other = wide.model_copy(update={"home": tmp_path / "other"})
    asked = []
    for used in (wide, other):
        stage = landscape(0.3, 0.4, 0.5)
        result = tune(gold, used, work=tmp_path)
        asked.append([row["params"] for row in result.trials])
    assert asked[0] == asked[1]
    stage = landscape(0.1, 0.1, 0.1)
    more = tune(gold, wide, work=tmp_path)
    assert [row["number"] for row in more.trials] == [3, 4, 5]
    # Nothing is asked twice, and the best so far is still known.
    seen = [params["learning_rate"] for params in asked[0]]
    assert not set(seen) & {chosen.learning_rate for chosen in stage.asked}
    assert more.best_value == 0.5


def test_another_question_is_another_study(gold, settings, tmp_path, landscape):
    landscape(0.3, 0.4)
    one = tune(gold, settings, work=tmp_path)
    landscape(0.3, 0.4)
    other = tune(gold, with_tune(settings, steps=3), work=tmp_path)
    assert one.study_name != other.study_name and f"gold{gold.version}" in one.study_name


def test_a_space_the_wrong_way_round_is_refused(gold, settings, tmp_path):
    with pytest.raises(TrainingError, match="learning_rate_low"):
        tune(gold, with_tune(settings, learning_rate_low=1.0), work=tmp_path)

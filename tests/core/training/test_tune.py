from __future__ import annotations

import io
import math
import time

import pytest
from PIL import Image

from boatseg_core.config import Settings
from boatseg_core.errors import TrainingError
from boatseg_core.training import tune as tune_module
from boatseg_core.training.fit import resolve
from boatseg_core.training.model import Segmenter
from boatseg_core.training.study import pruning
from boatseg_core.training.study.space import suggest
from boatseg_core.training.tune import tune


def with_tune(settings: Settings, **fields) -> Settings:
    return settings.model_copy(update={"tune": settings.tune.model_copy(update=fields)})


class Landscape:
    """Stands in for the training: the score of a trial is known beforehand."""

    def __init__(self, *finals, seconds=0.0):
        self.finals, self.asked, self.seconds = list(finals), [], seconds
        self.now = 0.0

    def fit(self, gold, settings, chosen, *, work, on_epoch, progress, callbacks):
        self.asked.append(chosen)
        final = self.finals[len(self.asked) - 1]
        if isinstance(final, BaseException):
            raise final
        for epoch in (1, 2, 3):
            self.now += self.seconds
            share = epoch / 3
            entry = {
                "step": chosen.max_steps * share,
                "epoch": epoch,
                "score": final * share,
                "valid_boat_iou": final * share + 0.05,
                "valid_per_image_iou": 0.25 + final * share,
                "valid_floor_per_image_iou": 0.25,
            }
            on_epoch(entry)
            for callback in callbacks:
                callback.judged(entry)


@pytest.fixture
def landscape(monkeypatch):
    def use(*finals, seconds=0.0):
        stage = Landscape(*finals, seconds=seconds)
        monkeypatch.setattr(tune_module, "fit", stage.fit)
        monkeypatch.setattr(tune_module.time, "monotonic", lambda: stage.now)
        return stage

    return use


class Watching:
    """Remembers what a study tells."""

    def __init__(self):
        self.began, self.validations, self.rows = [], [], []

    def started(self, row):
        self.began.append(row["number"])

    def validated(self, number, entry):
        self.validations.append((number, entry["step"]))

    def ended(self, row):
        self.rows.append(row)


def test_a_real_study_gives_what_train_accepts(gold, settings, tmp_path):
    told = Watching()
    result = tune(gold, settings, work=tmp_path, watchers=[told])
    assert result.trials == told.rows and len(told.rows) == 2
    assert told.began == [0, 1] and told.validations == [(n, s) for n in (0, 1) for s in (1, 2)]
    assert result.best_value == pytest.approx(max(row["value"] for row in told.rows))
    chosen = resolve(settings, result.best_params)
    assert (chosen.architecture, chosen.crop) == ("Unet", 64)
    assert 1e-4 <= chosen.learning_rate <= 5e-3 and 0.5 <= chosen.positive_share <= 0.9
    first = told.rows[0]["params"]
    assert first["learning_rate"] == pytest.approx(settings.train.learning_rate)
    assert first["encoder"] == settings.train.encoder
    for row in told.rows:
        # Two of five validation images are empty: what predicting nothing scores.
        assert row["over_floor"] == pytest.approx(row["per_image_iou"] - 0.4)
        assert row["steps"] == 2 and row["seconds"] > 0
    assert result.steps == 4
    assert settings.paths.optuna_journal.is_file()
    assert not list(tmp_path.glob("*trial-*"))


def test_the_best_trial_wins_and_the_first_is_the_settings(gold, settings, tmp_path, landscape):
    stage = landscape(0.3, 0.6, 0.4)
    result = tune(gold, with_tune(settings, trials=3), work=tmp_path)
    assert stage.asked[0].learning_rate == settings.train.learning_rate
    assert stage.asked[0].positive_share == settings.train.positive_share
    assert all(chosen.max_steps == settings.tune.steps for chosen in stage.asked)
    assert result.best_value == pytest.approx(0.6)
    assert result.best_params == result.trials[1]["params"]
    assert result.trials[1]["boat_iou"] == pytest.approx(0.65)


def test_everything_the_space_names_is_asked(gold, settings, tmp_path, landscape):
    wide = {
        "architectures": ("Unet", "FPN", "DeepLabV3Plus", "UnetPlusPlus"),
        "encoders": ("tu-tf_efficientnet_lite0", "resnet18"),
        "crops": (64, 96),
    }
    stage = landscape(*[0.5] * 30)
    tune(gold, with_tune(settings, trials=30, pruner="none", **wide), work=tmp_path)
    assert {c.architecture for c in stage.asked} == set(wide["architectures"])
    assert {c.encoder for c in stage.asked} == set(wide["encoders"])
    assert {c.crop for c in stage.asked} == {64, 96}
    assert {c.loss for c in stage.asked} == {"bce_dice", "focal_dice", "lovasz", "tversky"}
    rates = [math.log10(c.learning_rate) for c in stage.asked]
    # Log-uniform over 1e-4 to 5e-3: half of it lies below 7e-4, a linear one has an eighth there.
    assert 6 <= sum(rate < math.log10(7e-4) for rate in rates) <= 24


@pytest.mark.parametrize(("pruner", "cut"), [("median", 1), ("none", 3)])
def test_trials_below_the_median_are_pruned(gold, settings, tmp_path, landscape, pruner, cut):
    landscape(0.6, 0.5, 0.1)
    told = Watching()
    asked = with_tune(settings, trials=3, pruner=pruner)
    result = tune(gold, asked, work=tmp_path, watchers=[told])
    last = result.trials[2]
    assert sum(number == 2 for number, _ in told.validations) == cut
    assert last["state"] == ("pruned" if cut == 1 else "complete")
    assert ("worse than the others" in last["reason"]) == (cut == 1)
    assert result.best_value == pytest.approx(0.6)


def test_hyperband_prunes_too(gold, settings, tmp_path, landscape):
    landscape(*[0.9, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    many = with_tune(settings, trials=10, pruner="hyperband")
    states = [row["state"] for row in tune(gold, many, work=tmp_path).trials]
    assert "pruned" in states and "complete" in states


def test_trials_that_others_asked_for_meanwhile_are_not_asked_for_once_more(
    gold, settings, tmp_path, landscape, monkeypatch
):
    stage = landscape(0.3, 0.9)
    ask, asked = tune_module._Call._ask, []

    def late(self):
        if asked:  # somebody else was faster, after this process had looked
            other = self._study.ask()
            suggest(other, self._shop.settings)
            other.set_user_attr("over_floor", 0.1)
            self._study.tell(other, 0.1)
        asked.append(1)
        return ask(self)

    monkeypatch.setattr(tune_module._Call, "_ask", late)
    result = tune(gold, with_tune(settings, trials=2, pruner="none"), work=tmp_path)
    assert len(asked) == 2 and len(stage.asked) == 1  # the second was never trained
    assert [row["state"] for row in result.trials] == ["complete", "complete"]
    assert result.best_value == pytest.approx(0.3)


def test_the_time_budget_ends_a_running_trial_and_starts_no_other(
    gold, settings, tmp_path, landscape
):
    landscape(0.3, 0.9, 0.9, seconds=10.0)
    short = with_tune(settings, trials=3, max_seconds=31.0, grace_seconds=4.0)
    result = tune(gold, short, work=tmp_path)
    # The second began in time, at 30 s, and was past the grace at its first validation, at 40 s.
    assert [row["state"] for row in result.trials] == ["complete", "pruned"]
    assert "max_seconds" in result.trials[1]["reason"]
    assert result.best_value == pytest.approx(0.3)


def test_a_trial_past_its_time_ends_at_the_next_step_and_says_how_far_it_came(
    gold, settings, tmp_path, monkeypatch
):
    clock, offset = time.monotonic, [0.0]
    monkeypatch.setattr(pruning.time, "monotonic", lambda: clock() + offset[0])
    step = Segmenter.training_step

    def slow(self, *args):
        offset[0] += 100.0
        return step(self, *args)

    monkeypatch.setattr(Segmenter, "training_step", slow)
    # One validation, after twelve steps: 1,200 s, where 250 are granted.
    short = with_tune(
        settings, trials=1, steps=12, validations=1, max_seconds=200.0, grace_seconds=50.0
    )
    result = tune(gold, short, work=tmp_path)
    (row,) = result.trials
    assert row["state"] == "pruned" and "max_seconds" in row["reason"]
    assert row["steps"] == result.steps == 3 and math.isnan(row["value"])


def test_a_trial_within_the_grace_runs_to_its_end(gold, settings, tmp_path, landscape):
    landscape(0.3, 0.9, 0.9, seconds=10.0)
    short = with_tune(settings, trials=3, max_seconds=31.0, grace_seconds=40.0)
    result = tune(gold, short, work=tmp_path)
    assert [row["state"] for row in result.trials] == ["complete", "complete"]


def test_no_finished_trial_leaves_the_settings(gold, settings, tmp_path, landscape, caplog):
    landscape(0.9, seconds=10.0)
    short = with_tune(settings, max_seconds=5.0, grace_seconds=1.0)
    result = tune(gold, short, work=tmp_path)
    assert result.best_params == {} and math.isnan(result.best_value)
    assert not result.beats_nothing and "no trial finished" in caplog.text


def test_worse_than_predicting_nothing_is_said(gold, settings, tmp_path, landscape, caplog):
    landscape(-0.2, -0.1)
    result = tune(gold, with_tune(settings, pruner="none"), work=tmp_path)
    # Of three validations the first is the best here, but the weights kept are those of the score.
    assert result.best_value < 0 and not result.beats_nothing
    assert "no trial did better than predicting nothing" in caplog.text


def test_a_failed_trial_does_not_stop_the_study(gold, settings, tmp_path, landscape):
    landscape(TrainingError("the loss became nan"), 0.2)
    result = tune(gold, settings, work=tmp_path)
    assert [row["state"] for row in result.trials] == ["failed", "complete"]
    assert result.trials[0]["reason"] == "the loss became nan"
    assert result.best_value == pytest.approx(0.2)


def test_when_all_fail_the_reason_is_told_and_the_study_can_be_mended(
    gold, settings, tmp_path, landscape
):
    landscape(*[TrainingError("the encoder cannot be had")] * 2)
    with pytest.raises(TrainingError, match=r"every trial .*the encoder cannot be had"):
        tune(gold, settings, work=tmp_path)
    landscape(0.3, 0.4)  # the hub is back: old failures do not use up the budget
    result = tune(gold, settings, work=tmp_path)
    states = [row["state"] for row in result.trials]
    assert states == ["failed", "failed", "complete", "complete"]


def test_an_unexpected_failure_fails_its_trial_with_a_traceback_in_the_log(
    gold, settings, tmp_path, landscape, caplog
):
    landscape(ZeroDivisionError("bug"), MemoryError())
    with pytest.raises(TrainingError, match="memory ran out with crops of 64 px"):
        tune(gold, settings, work=tmp_path)
    assert "Traceback" in caplog.text and "ZeroDivisionError: bug" in caplog.text


def test_an_encoder_that_cannot_be_had_fails_its_trial_alone(gold, settings, tmp_path, monkeypatch):
    import segmentation_models_pytorch as smp

    def unreachable(*args, **kwargs):
        raise OSError("We couldn't connect to the hub to load the files")

    monkeypatch.setattr(smp.encoders, "hf_hub_download", unreachable)
    mixed = with_tune(settings, encoders=("tu-tf_efficientnet_lite0", "resnet18"), trials=4)
    result = tune(gold, mixed, work=tmp_path)
    states = {row["params"]["encoder"]: row["state"] for row in result.trials}
    assert states["tu-tf_efficientnet_lite0"] in ("complete", "pruned")
    reasons = [row["reason"] for row in result.trials if row["state"] == "failed"]
    assert reasons and all("connect to the hub once" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"encoders": ("tu-tf_efficientnet_lite0", "resnet19")}, r"tune.encoders: 'resnet19' .*18"),
        ({"architectures": ("Unet", "Deeplab3")}, r"tune.architectures: 'Deeplab3' .*DeepLabV3"),
    ],
)
def test_a_misspelt_choice_is_refused_before_any_trial(
    gold, settings, tmp_path, landscape, fields, told
):
    stage = landscape()
    with pytest.raises(TrainingError, match=told):
        tune(gold, with_tune(settings, **fields), work=tmp_path)
    assert stage.asked == [] and not settings.paths.optuna_journal.exists()


def test_the_same_seed_asks_the_same_and_a_study_goes_on(gold, settings, tmp_path, landscape):
    wide = with_tune(settings, architectures=("Unet", "FPN"), trials=3)
    other = wide.model_copy(update={"home": tmp_path / "other"})
    asked = []
    for used in (wide, other):
        landscape(0.3, 0.4, 0.5)
        result = tune(gold, used, work=tmp_path)
        asked.append([row["params"] for row in result.trials])
    assert asked[0] == asked[1]
    stage = landscape()
    assert tune(gold, wide, work=tmp_path).best_value == pytest.approx(0.5)
    assert stage.asked == []  # the budget was used up before
    stage = landscape(0.1, 0.1, 0.1)
    more = tune(gold, with_tune(wide, trials=6), work=tmp_path)
    assert [row["number"] for row in more.trials] == [0, 1, 2, 3, 4, 5]
    # Nothing is asked twice, and the best so far is still known.
    seen = [params["learning_rate"] for params in asked[0]]
    assert len(stage.asked) == 3
    assert not set(seen) & {chosen.learning_rate for chosen in stage.asked}
    assert more.best_value == pytest.approx(0.5)


def test_another_question_is_another_study(gold, settings, tmp_path, landscape):
    landscape(0.3, 0.4)
    one = tune(gold, settings, work=tmp_path)
    landscape(0.3, 0.4)
    other = tune(gold, with_tune(settings, steps=3), work=tmp_path)
    assert one.study_name != other.study_name and f"gold{gold.version}" in one.study_name


def test_a_named_study_is_not_asked_another_question(gold, settings, tmp_path, landscape):
    landscape(0.3, 0.4)
    named = with_tune(settings, study="mine")
    assert tune(gold, named, work=tmp_path).study_name == "mine"
    with pytest.raises(TrainingError, match=r"study mine .* choose another tune.study"):
        tune(gold, with_tune(named, steps=3), work=tmp_path)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"learning_rate_low": 1.0}, "learning_rate_low"),
        ({"positive_share_low": 0.95}, "positive_share_low"),
        ({"crops": (100,)}, "100 px, which is not a multiple of 32"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(gold, settings, tmp_path, fields, told):
    with pytest.raises(TrainingError, match=told):
        tune(gold, with_tune(settings, **fields), work=tmp_path)


def test_ctrl_c_closes_the_trial_and_the_next_call_tries_it_again(
    gold, settings, tmp_path, landscape
):
    landscape(0.3, KeyboardInterrupt())
    told = Watching()
    with pytest.raises(KeyboardInterrupt):
        tune(gold, settings, work=tmp_path, watchers=[told])
    assert [(row["state"], row["reason"]) for row in told.rows][1:] == [("lost", "interrupted")]
    landscape(0.4)
    result = tune(gold, settings, work=tmp_path)
    assert [row["state"] for row in result.trials] == ["complete", "lost", "complete"]
    assert result.trials[2]["retry_of"] == 1
    assert result.trials[2]["params"] == result.trials[1]["params"]


def test_plots_are_pictures(gold, settings, tmp_path, landscape):
    landscape(0.2, 0.3, 0.5, 0.4, TrainingError("no"))
    result = tune(gold, with_tune(settings, trials=5, pruner="none"), work=tmp_path)
    assert set(result.plots) == {"history", "importance", "parallel_coordinates"}
    for png in result.plots.values():
        picture = Image.open(io.BytesIO(png))
        assert picture.format == "PNG" and picture.width >= 600
        assert len(picture.convert("RGB").getcolors(2**20)) > 20  # not blank

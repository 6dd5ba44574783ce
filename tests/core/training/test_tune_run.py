"""A study as the asset and the command run it: what MLflow and the home have of it."""

from __future__ import annotations

import io

import pytest
from mlflow import MlflowClient  # noqa: TID253
from rich.console import Console

from boatseg_core.errors import TrainingError
from boatseg_core.training import run as run_module
from boatseg_core.training import tune as tune_module
from boatseg_core.training.hyperparameters import load_best
from boatseg_core.training.run import tune_and_keep
from boatseg_core.training.study.board import Board, told


def entry(value: float, epoch: int = 1) -> dict[str, float]:
    return {
        "step": float(epoch),
        "epoch": epoch,
        "score": value,
        "valid_boat_iou": value,
        "valid_per_image_iou": 0.5 + value,
        "valid_floor_per_image_iou": 0.5,
    }


@pytest.fixture
def outcomes(monkeypatch):
    """Replace the training: one outcome a trial, a value or what it raises."""

    def use(*finals):
        left = list(finals)

        def fit(gold, settings, chosen, *, work, on_epoch, progress, callbacks):
            final = left.pop(0)
            if isinstance(final, BaseException):
                raise final
            for epoch in (1, 2):
                on_epoch(entry(final, epoch))

        monkeypatch.setattr(tune_module, "fit", fit)

    return use


def runs_of(settings):
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.registry.experiment)
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    named = {run.info.run_name: run for run in runs}
    assert len(named) == len(runs)
    return client, named


def test_a_training_that_fails_has_its_parameters(gold, settings, monkeypatch):
    def fail(*args, **options):
        raise TrainingError("no")

    monkeypatch.setattr(run_module, "train", fail)
    with pytest.raises(TrainingError, match="no"):
        run_module.train_and_register(gold.lake, gold, settings, overrides={"crop": 96})
    _, named = runs_of(settings)
    found = named["train"]
    assert found.info.status == "FAILED"
    assert found.data.params["crop"] == "96" and found.data.params["encoder"] == (
        settings.train.encoder
    )


def test_trials_are_runs_below_the_study_s_and_the_best_is_kept(gold, settings, outcomes):
    outcomes(0.2, TrainingError("no weights"), KeyboardInterrupt())
    three = settings.model_copy(update={"tune": settings.tune.model_copy(update={"trials": 3})})
    with pytest.raises(KeyboardInterrupt):
        tune_and_keep(gold, three, progress=False)
    client, runs = runs_of(settings)
    assert set(runs) == {"tune", "trial-0", "trial-1", "trial-2"}
    parent = runs["tune"].info.run_id
    states = {"trial-0": "FINISHED", "trial-1": "FAILED", "trial-2": "KILLED", "tune": "KILLED"}
    assert {name: run.info.status for name, run in runs.items()} == states
    for name in ("trial-0", "trial-1", "trial-2"):
        assert runs[name].data.tags["mlflow.parentRunId"] == parent
        assert runs[name].data.tags["gold_version"] == str(gold.version)
    asked = runs["tune"].data.params  # also of a study that broke off
    assert asked["tune.trials"] == "3" and "Unet" in asked["tune.architectures"]
    assert "tune.storage" not in asked  # it may hold a password
    first, failed = runs["trial-0"].data, runs["trial-1"].data
    assert first.params["architecture"] == "Unet" and first.metrics["boat_iou"] == 0.2
    assert len(client.get_metric_history(runs["trial-0"].info.run_id, "valid_boat_iou")) == 2
    assert failed.tags["reason"] == "no weights" and failed.tags["state"] == "failed"
    assert load_best(settings) is None

    client.set_tag(parent, "mlflow.runName", "before")
    outcomes(0.3, 0.1, 0.1)
    result = tune_and_keep(gold, three, progress=False)
    kept = load_best(settings)
    assert kept is not None and kept.params == result.best_params
    assert (kept.study, kept.gold_version) == (result.study_name, gold.version)
    client, runs = runs_of(settings)
    files = {f.path for f in client.list_artifacts(runs["tune"].info.run_id, "plots")}
    assert files == {"plots/history.png", "plots/parallel_coordinates.png"}


def test_what_does_not_beat_predicting_nothing_is_not_kept(gold, settings, outcomes):
    outcomes(-0.1, 0.0)
    result = tune_and_keep(gold, settings, progress=False)
    assert result.best_params and not result.beats_nothing
    assert load_best(settings) is None


ROW = {
    "number": 3,
    "state": "running",
    "params": {"architecture": "FPN", "learning_rate": 0.00123, "loss": "lovasz", "crop": 96},
    "value": float("nan"),
    "boat_iou": float("nan"),
    "seconds": float("nan"),
    "reason": "",
    "retry_of": None,
}


def test_without_a_terminal_there_are_plain_lines():
    stream = io.StringIO()
    with Board(Console(file=stream, width=40)) as board:
        board.started(ROW)
        board.validated(3, entry(0.25, 2))
        lost = {**ROW, "state": "lost", "reason": "its process ended with signal 9"}
        board.ended(lost)
        board.started({**ROW, "number": 4, "retry_of": 3})
    assert stream.getvalue().splitlines() == [
        "trial 3 starts: FPN lr 0.0012 lovasz crop 96",
        "trial 3 at step 2: +0.250 over nothing, boat IoU 0.250",
        "trial 3 lost, its process ended with signal 9: – over nothing, boat IoU –",
        "trial 4 starts (as trial 3, which was lost): FPN lr 0.0012 lovasz crop 96",
    ]


def test_on_a_terminal_there_is_a_table_of_what_runs_now():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=110, height=30)
    with Board(console) as board:
        board.started(ROW)
        board.validated(3, entry(0.25, 2))
        board.ended(
            {**ROW, "number": 2, "state": "failed", "reason": "no weights", "seconds": 75.0}
        )
        sheet = Console(file=io.StringIO(), width=110, record=True)
        sheet.print(board.table())
    text = sheet.export_text()
    assert "running at step 2" in text and "+0.250" in text and "lr 0.0012" in text
    assert "no weights" in text and "1:15" in text
    assert "over nothing" in stream.getvalue()


def test_parameters_on_one_line():
    params = {"architecture": "Unet", "encoder": "resnet18", "learning_rate": 1e-4}
    assert told({**params, "loss": "tversky", "positive_share": 0.5}) == (
        "Unet resnet18 lr 0.0001 tversky share 0.5"
    )

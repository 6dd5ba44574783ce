from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlparse

import numpy as np
import pytest

from boatseg_core.config import load_settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.errors import RegistryError, TrainingError
from boatseg_core.inference.spec import ModelSpec
from boatseg_core.training import tracking
from boatseg_core.training.commit import git_commit
from boatseg_core.training.evaluate import evaluate
from boatseg_core.training.provenance import split_hash
from boatseg_core.training.result import TrainResult
from boatseg_core.training.study import process
from boatseg_core.training.tracking import start_run

HISTORY = [
    {
        "step": step,
        "epoch": epoch,
        "seconds": 1.0,
        "train_loss": 1.0 / epoch,
        "valid_loss": 1.1 / epoch,
        "train_boat_iou": 0.2 * epoch,
        "valid_boat_iou": 0.1 * epoch,
        "valid_per_image_iou": 0.8,
        "valid_floor_per_image_iou": 0.75,
        "valid_empty_false_positive_rate": float("nan"),
    }
    for epoch, step in ((1, 50), (2, 100))
]


class Brightness:
    """Stands in for a predictor: the brighter a pixel, the likelier an object."""

    threshold, min_area, split_neck, spec = 0.5, 20, 0.0, ModelSpec()

    def logits(self, image: np.ndarray) -> np.ndarray:
        shade = np.clip(image.mean(2) / 255, 0.01, 0.99)
        return np.log(shade / (1 - shade)).astype(np.float32)


def test_the_split_hash_follows_the_split_and_nothing_else(write_gold):
    first = split_hash(write_gold(train=(2, 1), test=(1, 0)))
    assert split_hash(write_gold(train=(1, 2), test=(0, 1))) == first  # other pictures
    assert split_hash(write_gold(train=(2, 0), test=(1, 1))) != first


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """One home for all tests of this module: making MLflow's tables takes seconds."""
    return tmp_path_factory.mktemp("mlflow-home")


@pytest.fixture
def tracked(store, gold):
    """Settings whose runs go to the shared store, and a gold table elsewhere."""
    store.mkdir(exist_ok=True)
    return load_settings(home=store)


def client(settings):
    import mlflow

    return mlflow.MlflowClient(tracking_uri=settings.tracking_uri)


def test_a_training_can_be_read_back(tracked, gold, capfd):
    evaluation = evaluate(Brightness(), gold, "test", draws=10)
    result = TrainResult(
        Path("model"),
        HISTORY,
        {"boat_iou": 0.4, "images": 5.0},
        {},
        gold.version,
        12.5,
        100,
        evaluation,
    )
    with start_run(tracked, gold, params={"crop": 64, "loss": "bce_dice"}, tags={"a": "b"}) as run:
        for entry in HISTORY:
            run.on_epoch(entry)
        run.log_result(result)
    out, err = capfd.readouterr()
    assert out == "" and err == ""

    found = client(tracked).get_run(run.run_id)
    assert found.info.status == "FINISHED" and found.info.run_name == "train"
    assert found.data.params == {"crop": "64", "loss": "bce_dice"}
    assert found.data.metrics["valid_boat_iou"] == pytest.approx(0.2)
    assert found.data.metrics["test_boat_iou"] == pytest.approx(0.4)
    assert "valid_empty_false_positive_rate" not in found.data.metrics
    series = client(tracked).get_metric_history(run.run_id, "valid_boat_iou")
    assert [(point.step, point.value) for point in series] == [(50, 0.1), (100, 0.2)]

    assert gold.version == 1
    assert found.data.tags["gold_version"] == "1" and found.data.tags["a"] == "b"
    (used,) = found.inputs.dataset_inputs
    assert used.dataset.name == "gold_dataset" and used.dataset.digest == "v1"
    assert json.loads(used.dataset.source)["delta_version"] == 1
    assert json.loads(used.dataset.profile)["images"] == {"test": 5, "train": 14, "valid": 5}

    artifacts = Path(urlparse(found.info.artifact_uri).path)
    assert artifacts.is_relative_to(tracked.paths.mlflow_artifacts)
    assert (artifacts / "curves" / "training.png").read_bytes().startswith(b"\x89PNG")
    assert (artifacts / "curves" / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((artifacts / "evaluation" / "evaluation.json").read_text()) == json.loads(
        json.dumps(evaluation.facts)
    )
    assert {path.name for path in (artifacts / "pictures").iterdir()} == {"worst.jpg", "best.jpg"}
    software = json.loads((artifacts / "environment.json").read_text())
    assert {"torch", "polars", "segmentation-models-pytorch"} <= software["packages"].keys()
    assert found.data.tags["split_hash"] == split_hash(gold)
    if commit := git_commit():  # not of an unpacked archive
        assert found.data.tags["git_commit"] == commit
        assert found.data.tags["git_dirty"] in ("true", "false")
    assert json.loads(found.data.tags["quality_criteria"])["min_width"] == 128
    checks = json.loads((artifacts / "data_checks.json").read_text())
    assert checks["gold_version"] == 1 and checks["totals"]["in_gold"] == 24
    assert checks["criteria"]["min_width"] == 128
    assert found.data.tags["data_checks"] == "passed" and found.data.tags["data_rejected"] == "0"
    kept = json.loads((artifacts / "curves" / "history.json").read_text())
    assert kept[1]["step"] == 100 and kept[0]["valid_empty_false_positive_rate"] is None


def test_version_zero_is_a_version(tracked, gold):
    with start_run(tracked, GoldDataset(gold.lake, 0)) as run:
        pass
    found = client(tracked).get_run(run.run_id)
    assert found.data.tags["gold_version"] == "0"
    (used,) = found.inputs.dataset_inputs
    assert used.dataset.digest == "v0"
    assert json.loads(used.dataset.source)["delta_version"] == 0


def test_a_failure_closes_the_run_and_passes_on(tracked, gold):
    class Broken(Exception):
        pass

    with pytest.raises(Broken), start_run(tracked, gold) as failed:
        raise Broken("of gold")
    with pytest.raises(KeyboardInterrupt), start_run(tracked, gold) as killed:
        raise KeyboardInterrupt
    runs = [client(tracked).get_run(run.run_id) for run in (failed, killed)]
    assert [run.info.status for run in runs] == ["FAILED", "KILLED"]
    assert [run.data.tags.get("failure") for run in runs] == ["Broken: of gold", None]


def test_what_failed_first_is_told_where_the_store_fails_too(tracked, gold, monkeypatch, caplog):
    with pytest.raises(TrainingError, match="no number"), start_run(tracked, gold) as run:
        away = Mock(side_effect=OSError("the store is gone"))
        monkeypatch.setattr(type(client(tracked)), "set_terminated", away)
        raise TrainingError("the loss is no number")
    assert "cannot be closed: the store is gone" in caplog.text
    # The sentence had been written before.
    assert client(tracked).get_run(run.run_id).data.tags["failure"] == "the loss is no number"


def test_the_run_of_a_killed_process_is_closed_by_the_next(tracked, gold, monkeypatch, caplog):
    settings = load_settings(home=tracked.home, registry={"experiment": "killed"})
    live = start_run(settings, gold)
    mine = live.__enter__()
    with monkeypatch.context() as patch:
        # That number is this process's, but it began at another time.
        patch.setattr(tracking, "this_process", lambda: process.this_process() + "0")
        lost = start_run(settings, gold)
        gone = lost.__enter__()
        nested = start_run(settings, gold, parent_run_id=gone.run_id)
        trial = nested.__enter__()
        patch.setattr(tracking, "this_process", lambda: "elsewhere:boot:pid/1/2")
        far = start_run(settings, gold, parent_run_id=gone.run_id)
        other = far.__enter__()

    def state(run):
        return client(settings).get_run(run.run_id).info.status

    assert {state(run) for run in (mine, gone, trial, other)} == {"RUNNING"}
    with start_run(settings, gold):
        assert state(gone) == state(trial) == "KILLED"
        assert state(mine) == state(other) == "RUNNING"  # alive; and not to be seen from here
    assert "left open by a process that is gone" in caplog.text
    live.__exit__(None, None, None)
    assert state(mine) == "FINISHED"
    del lost, nested, far


def test_runs_can_be_nested_without_an_active_run(tracked, gold):
    import mlflow

    with (
        start_run(tracked, gold, name="study") as parent,
        start_run(tracked, gold, name="trial", parent_run_id=parent.run_id) as child,
    ):
        assert mlflow.active_run() is None
    tags = client(tracked).get_run(child.run_id).data.tags
    assert tags["mlflow.parentRunId"] == parent.run_id
    assert "data_checks" not in tags  # its parent has them


def test_a_store_out_of_reach_is_named(gold, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    settings = load_settings(
        home=tmp_path, registry={"tracking_uri": f"sqlite:///{blocked}/mlflow.db"}
    )
    with pytest.raises(RegistryError, match=r"file/mlflow\.db"), start_run(settings, gold):
        pass


def test_a_deleted_experiment_is_named(tracked, gold):
    settings = load_settings(home=tracked.home, registry={"experiment": "gone"})
    with start_run(settings, gold) as run:
        pass
    client(settings).delete_experiment(run.experiment_id)
    with (
        pytest.raises(RegistryError, match="experiment gone is deleted"),
        start_run(settings, gold),
    ):
        pass

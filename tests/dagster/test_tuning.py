"""The asset of the hyperparameters: run, skipped, and what the training makes of either."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from boatseg_core.config import Settings
from boatseg_core.training import run as run_module
from boatseg_core.training.hyperparameters import save_best
from boatseg_core.training.tune import TuneResult
from boatseg_dagster.assets import model as model_module
from boatseg_dagster.assets.model import tuned_hyperparameters
from boatseg_dagster.resources import Boatseg

ROW: dict[str, Any] = {
    "number": 0,
    "state": "complete",
    "value": 0.2,
    "boat_iou": 0.4,
    "steps": 4,
    "seconds": float("nan"),
    "reason": "",
    "params": {"crop": 64},
}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def materialize(boatseg: Boatseg, instance: dg.DagsterInstance, **config: Any) -> Any:
    wanted = {"ops": {"tuned_hyperparameters": {"config": config}}} if config else None
    done = dg.materialize(
        [tuned_hyperparameters],
        instance=instance,
        resources={"boatseg": boatseg},
        run_config=wanted,
    )
    assert done.success
    (event,) = done.asset_materializations_for_node("tuned_hyperparameters")
    return event


@pytest.fixture
def studied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts studies that are run, and stands in for them."""
    studies: list[int] = []

    def tune_and_keep(gold: Any, settings: Settings, **_: Any) -> TuneResult:
        studies.append(gold.version)
        save_best(settings, {"crop": 64}, study="s", value=0.2, gold_version=gold.version)
        return TuneResult({"crop": 64}, 0.2, [ROW], "s", 1.0, {"history": PNG})

    monkeypatch.setattr(run_module, "tune_and_keep", tune_and_keep)
    monkeypatch.setattr(model_module, "GoldDataset", lambda lake: SimpleNamespace(version=7))
    return studies


def test_a_study_shows_its_trials_and_pictures(
    boatseg: Boatseg, instance: dg.DagsterInstance, studied: list[int]
) -> None:
    event = materialize(boatseg, instance)
    metadata = event.metadata
    assert studied == [7]
    assert metadata["in_force"].value == {"crop": 64} and metadata["complete"].value == 1
    assert "data:image/png;base64," in metadata["history"].value
    assert metadata["skipped"].value is False
    assert metadata["trials"].value.records[0].data["seconds"] is None
    assert event.tags["dagster/data_version"] == "s/0.200000"


def test_a_run_may_skip_it_and_what_was_kept_stays(
    boatseg: Boatseg, instance: dg.DagsterInstance, settings: Settings, studied: list[int]
) -> None:
    before = materialize(boatseg, instance, skip=True)
    assert before.metadata["in_force"].value == {}
    assert before.tags["dagster/data_version"] == "settings"
    save_best(settings, {"loss": "lovasz"}, study="old", value=0.1, gold_version=3)
    event = materialize(boatseg, instance, skip=True)
    assert studied == []
    assert event.metadata["skipped"].value is True
    assert event.metadata["in_force"].value == {"loss": "lovasz"}
    assert event.tags["dagster/data_version"] == "old/0.100000"

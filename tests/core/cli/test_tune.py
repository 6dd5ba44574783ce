from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boatseg_core.training import run as run_module
from boatseg_core.training.tune import TuneResult

ROW: dict[str, Any] = {
    "number": 0,
    "state": "complete",
    "value": 0.2,
    "boat_iou": 0.4,
    "per_image_iou": 0.9,
    "over_floor": 0.2,
    "steps": 40,
    "seconds": 3.0,
    "reason": "",
    "retry_of": None,
    "params": {"architecture": "FPN", "learning_rate": 0.00123},
}
FAILED = {**ROW, "number": 1, "state": "failed", "value": float("nan"), "reason": "no weights"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Settings that studies were asked for with; no study is run."""
    seen: list[Any] = []

    def tune_and_keep(gold: Any, settings: Any) -> TuneResult:
        seen.append(settings.tune)
        value = 0.2 if settings.tune.steps > 1 else -0.1
        return TuneResult(ROW["params"], value, [ROW, FAILED], "a/study", 9.0, {"history": b"PNG"})

    monkeypatch.setattr(run_module, "tune_and_keep", tune_and_keep)
    return seen


def test_what_was_found_is_shown_and_drawn(boatseg, home: Path, asked: list[Any]) -> None:
    result = boatseg("tune", "--trials", 3, "--workers", 2, "--pruner", "none", "--home", home)
    assert result.exit_code == 0, result.output
    assert (asked[0].trials, asked[0].workers, asked[0].pruner) == (3, 2, "none")
    assert "a/study" in result.stdout and "no weights" in result.stdout
    assert "+0.2000 IoU over predicting nothing" in result.stdout
    assert (home / "reports" / "study-a-study" / "history.png").read_bytes() == b"PNG"


def test_json_has_no_numbers_that_are_none(boatseg, home: Path, asked, tmp_path: Path) -> None:
    result = boatseg("tune", "--json", "--output", tmp_path / "p", "--home", home)
    facts = json.loads(result.stdout)
    assert facts["kept"] is True and facts["best_params"] == ROW["params"]
    assert facts["trials"][1]["value"] is None and facts["trials"][1]["reason"] == "no weights"
    assert facts["plots"] == {"history": str(tmp_path / "p" / "history.png")}


def test_nothing_better_than_nothing_is_said(boatseg, home: Path, asked: list[Any]) -> None:
    result = boatseg("tune", "--steps", 1, "--home", home)
    assert "nothing kept: no trial did better than predicting nothing" in result.stdout


def test_an_empty_home_is_one_sentence(boatseg, tmp_path: Path) -> None:
    result = boatseg("tune", "--home", tmp_path / "empty")
    assert result.exit_code == 1 and "nothing here yet" in result.stderr
    assert boatseg("tune", "--workers", 0, "--home", tmp_path).exit_code == 2

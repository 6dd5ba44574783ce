from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from boatseg_core.cli.status import gather
from boatseg_core.config import load_settings
from boatseg_core.lake import TABLES, Lake


def test_the_state_agrees_with_the_tables(boatseg, home: Path) -> None:
    lake = Lake.from_settings(load_settings(home=home))
    state = json.loads(boatseg("status", "--json", "--home", home).stdout)
    assert state["waiting"] == {"files": 0, "unsettled": 0, "label_files": []}
    assert (state["batches"]["sealed"], state["batches"]["complete"]) == (1, 1)
    assert state["images"]["stored"] == 14
    assert sum(state["images"]["quarantined"].values()) == 3
    assert state["images"]["passed"] == lake.read("image_quality")["passed"].sum()
    assert state["images"]["labelled"] == lake.read("rasterized_masks").height
    assert state["gold"]["rows"] == sum(state["gold"]["splits"].values())
    assert state["gold"]["rows"] == lake.read("gold_dataset").height
    assert state["predictions"]["unscored"] == state["images"]["passed"]
    assert state["drift"] is None


def test_what_waits_is_counted(boatseg, tmp_path: Path) -> None:
    images = tmp_path / "home" / "landing" / "images"
    images.mkdir(parents=True)
    (images / "a.jpg").write_bytes(b"?")
    (images.parent / "labels.csv").write_text("ImageId,EncodedPixels\na.jpg,\n")
    result = boatseg("status")
    assert "1 file not sealed, 1 label file not read" in result.stdout


def test_a_batch_that_is_behind_is_named_with_the_reason(boatseg, tmp_path: Path) -> None:
    images = tmp_path / "home" / "landing" / "images"
    images.mkdir(parents=True)
    (images / "a.jpg").write_bytes(b"?")
    settings = load_settings()
    from boatseg_core.ingest.seal import seal

    (batch,) = seal(Lake.from_settings(settings), settings).batches
    assert f"{batch}: sealed files are not in bronze" in boatseg("status").stdout


@pytest.mark.parametrize("drifted", [True, False])
def test_the_newest_drift_verdict_is_shown(boatseg, tmp_path: Path, drifted: bool) -> None:
    import pyarrow as pa

    settings = load_settings()
    lake = Lake.from_settings(settings)
    for day, batch in ((2, "20260102-000002"), (1, "20260101-000001")):
        row = {
            "batch_id": batch,
            "metric": "brightness",
            "statistic": 0.6,
            "threshold": 0.35,
            "drifted": drifted and day == 2,
            "images": 40,
            "at": datetime(2026, 1, day, tzinfo=UTC),
        }
        lake.replace_batch(
            "drift", batch, pa.Table.from_pylist([row], schema=TABLES["drift"].schema)
        )
    drift = gather(lake, settings)["drift"]
    assert drift["batch_id"] == "20260102-000002"
    assert drift["drifted"] == (["brightness"] if drifted else [])
    text = boatseg("status").stdout
    assert ("brightness drifted in batch 20260102-000002" in text) == drifted
    assert "brightness 0.60 (threshold 0.35)" in text


def test_a_missing_images_folder_is_a_line_not_an_end(
    boatseg, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BOATSEG_LANDING__IMAGES", str(tmp_path / "gone"))
    result = boatseg("status", "--home", home)
    assert result.exit_code == 0
    assert str(tmp_path / "gone") in result.stdout
    assert "14 stored" in result.stdout


@pytest.mark.parametrize("columns", ["80", "160"])
def test_one_screen(boatseg, home: Path, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = boatseg("status", "--home", home).stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert len(lines) <= 24


@pytest.mark.parametrize("command", ["status", "models"])
def test_a_home_with_a_question_mark_is_refused_and_one_with_a_hash_is_not(
    boatseg, tmp_path: Path, command: str
) -> None:
    refused = boatseg(command, "--home", tmp_path / "my home #1?")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "MLflow and Dagster would cut its path" in refused.stderr
    assert not (tmp_path / "my home #1").exists()
    taken = boatseg(command, "--home", tmp_path / "my home #1")
    assert taken.exit_code == 0
    assert "cut" not in taken.output


def test_a_registry_in_a_home_with_a_hash_is_found(tmp_path: Path) -> None:
    from boatseg_core.registry.connection import connect
    from boatseg_core.registry.lookup import SqliteStore

    settings = load_settings(home=tmp_path / "my home #1")
    settings.paths.create()
    client = connect(settings)
    client.create_registered_model("m")
    assert settings.paths.mlflow_db.is_file()
    assert SqliteStore(settings.tracking_uri).aliased("m", "production") is None

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from tiny_model import encoded, scene

from boatseg_core.errors import LakeError
from boatseg_core.inference.batch import missing, score_batch
from boatseg_core.inference.predictor import Predictor
from boatseg_core.lake import TABLES, Lake

MODEL = {"model_name": "boatseg", "model_version": 3}


def put(lake: Lake, table: str, batch_id: str, rows: list[dict[str, Any]]) -> int:
    """Write rows that leave out the columns that do not matter here."""
    full = [{"batch_id": batch_id, **row} for row in rows]
    return lake.replace_batch(table, batch_id, pa.Table.from_pylist(full, TABLES[table].schema))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    pictures = {
        "c-boat.png": encoded(scene(boats=((5, 6, 7, 8), (50, 6, 3, 4)))),
        "a-empty.png": encoded(scene()),
        "b-failed.png": encoded(scene(boats=((1, 1, 9, 9),))),
    }
    put(
        lake,
        "raw_images",
        "b1",
        [{"image_id": name, "image": data} for name, data in pictures.items()],
    )
    put(
        lake,
        "image_quality",
        "b1",
        [
            {"image_id": name, "passed": "failed" not in name, "brightness": float(at)}
            for at, name in enumerate(pictures)
        ],
    )
    return lake


@pytest.fixture
def predictor(model_folder: Path) -> Predictor:
    return Predictor.load(model_folder, threads=1)


def test_every_passed_image_gets_a_row(lake: Lake, predictor: Predictor) -> None:
    assert missing(lake, "b1")["image_id"].to_list() == ["a-empty.png", "c-boat.png"]
    score = score_batch(lake, "b1", predictor, **MODEL)
    assert (score.images, score.boat_images, score.boat_count, score.boat_area) == (2, 1, 2, 68)
    assert (score.skipped, score.unreadable) == (1, {})
    rows = lake.read("predictions", batch_id="b1", version=score.version)
    assert rows["image_id"].to_list() == ["a-empty.png", "c-boat.png"]
    assert rows["boat_count"].to_list() == [0, 2]
    assert rows["boat_boxes"].to_list() == [[], [[5, 6, 7, 8], [50, 6, 3, 4]]]
    assert rows["boat_rles"].list.len().to_list() == [0, 2]
    assert rows["brightness"].to_list() == [1.0, 0.0]
    assert set(rows["model_version"]) == {3}
    assert missing(lake, "b1").is_empty()


def test_scoring_again_replaces(lake: Lake, predictor: Predictor) -> None:
    first = score_batch(lake, "b1", predictor, **MODEL)
    second = score_batch(lake, "b1", predictor, **MODEL)
    assert second.version == first.version + 1
    same = [name for name in TABLES["predictions"].schema.names if name != "scored_at"]
    old, new = (lake.read("predictions", same, version=s.version) for s in (first, second))
    assert old.equals(new)


def test_pinned_versions_are_read(lake: Lake, predictor: Predictor) -> None:
    raw, quality = lake.version("raw_images"), lake.version("image_quality")
    put(lake, "raw_images", "b1", [])
    put(lake, "image_quality", "b1", [])
    score = score_batch(lake, "b1", predictor, **MODEL, raw_version=raw, quality_version=quality)
    assert score.images == 2


def test_an_unreadable_image_is_named_and_costs_no_other(lake: Lake, predictor: Predictor) -> None:
    raw = [
        {"image_id": "good.png", "image": encoded(scene())},
        {"image_id": "bad.png", "image": b"no picture"},
    ]
    put(lake, "raw_images", "b2", raw)
    put(lake, "image_quality", "b2", [{"image_id": r["image_id"], "passed": True} for r in raw])
    score = score_batch(lake, "b2", predictor, **MODEL)
    assert score.images == 1
    assert "not a" in score.unreadable["bad.png"]
    assert missing(lake, "b2")["image_id"].to_list() == ["bad.png"]


def test_a_batch_that_does_not_add_up_writes_nothing(lake: Lake, predictor: Predictor) -> None:
    with pytest.raises(LakeError, match="b9 has no rows in image_quality"):
        score_batch(lake, "b9", predictor, **MODEL)
    put(lake, "image_quality", "b3", [{"image_id": "lost.png", "passed": True}])
    with pytest.raises(LakeError, match=r"not in raw_images, for example lost\.png"):
        score_batch(lake, "b3", predictor, **MODEL)
    put(lake, "raw_images", "b3", [{"image_id": "lost.png", "image": encoded(scene())}] * 2)
    with pytest.raises(LakeError, match=r"lost\.png is in raw_images more than once"):
        score_batch(lake, "b3", predictor, **MODEL)
    assert lake.scan("predictions").filter(pl.col("batch_id") != "b1").collect().is_empty()


def test_a_batch_of_rejects_gets_no_rows(lake: Lake, predictor: Predictor) -> None:
    put(lake, "image_quality", "b4", [{"image_id": "dark.png", "passed": False}])
    score = score_batch(lake, "b4", predictor, **MODEL)
    assert (score.images, score.skipped) == (0, 1)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from boatseg_core.inference.backlog import stale_scores, unscored_batches
from boatseg_core.lake import TABLES, Lake


def put(lake: Lake, table: str, batch_id: str, *rows: dict[str, Any]) -> None:
    full = [{"batch_id": batch_id, **row} for row in rows]
    lake.replace_batch(table, batch_id, pa.Table.from_pylist(full, TABLES[table].schema))


def score(lake: Lake, batch_id: str, name: str, version: int, *image_ids: str) -> None:
    by = {"model_name": name, "model_version": version}
    put(lake, "predictions", batch_id, *({"image_id": image_id, **by} for image_id in image_ids))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two batches: of the first, one of three images failed quality."""
    lake = Lake(str(tmp_path / "lake"))
    for batch, names in (("b1", "abc"), ("b2", "de")):
        put(lake, "image_quality", batch, *({"image_id": n, "passed": n != "c"} for n in names))
    return lake


def test_nothing_is_scored_at_first(lake: Lake) -> None:
    assert unscored_batches(lake) == ["b1", "b2"]
    assert stale_scores(lake, "boatseg", 1) == []


def test_an_image_without_a_prediction_leaves_its_batch_unscored(lake: Lake) -> None:
    score(lake, "b1", "boatseg", 1, "a", "b")
    score(lake, "b2", "boatseg", 1, "d")
    assert unscored_batches(lake) == ["b2"]


def test_scores_of_another_version_are_stale(lake: Lake) -> None:
    score(lake, "b1", "boatseg", 1, "a", "b")
    score(lake, "b2", "boatseg", 2, "d", "e")
    assert stale_scores(lake, "boatseg", 2) == ["b1"]
    assert stale_scores(lake, "boatseg", 1) == ["b2"]


def test_the_same_version_of_another_model_is_stale(lake: Lake) -> None:
    score(lake, "b1", "ships", 1, "a", "b")
    score(lake, "b2", "boatseg", 1, "d", "e")
    assert stale_scores(lake, "boatseg", 1) == ["b1"]
    assert unscored_batches(lake) == []

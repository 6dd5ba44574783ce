from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from boatseg_core.dataset.stream import GoldStream
from boatseg_core.lake import TABLES, Lake

ROWS = 60
MASK = b"m" * 10
LARGEST = 5000 + len(MASK)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three batches of 20 rows; pictures of 1000 bytes, every tenth of 5000."""
    lake = Lake(str(tmp_path / "lake"))
    for batch in range(3):
        rows = [
            {
                "image_id": f"{i:02}",
                "batch_id": f"b{batch}",
                "split": "train",
                "image": bytes(LARGEST - len(MASK) if i % 10 == 0 else 1000),
                "mask": MASK,
                "boat_count": i % 2,
                "boat_areas": [],
                "boat_boxes": [],
                "group_id": str(i),
            }
            for i in range(20 * batch, 20 * batch + 20)
        ]
        table = pa.Table.from_pylist(rows, TABLES["gold_dataset"].schema)
        lake.replace_batch("gold_dataset", f"b{batch}", table)
    return lake


def open_stream(lake: Lake) -> GoldStream:
    version = lake.version("gold_dataset")
    assert version is not None
    return GoldStream(lake, version, "train")


def test_in_order_is_the_order_of_the_table(lake: Lake) -> None:
    read = list(open_stream(lake).in_order())
    assert sorted(row.image_id for row in read) == [f"{i:02}" for i in range(ROWS)]
    assert {row.size for row in read} == {1000 + len(MASK), LARGEST}
    assert [row.image_id for row in read] == [r.image_id for r in open_stream(lake).in_order()]

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest

from boatseg_core.dataset import stream
from boatseg_core.dataset.stream import GoldRow, GoldStream
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


class Reading:
    """Counts the bytes that were read and not yet given out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[GoldRow] = []
        original = GoldStream._read

        def counting(this: GoldStream, unit: object):
            for row in original(this, unit):
                self.read.append(row)
                yield row

        monkeypatch.setattr(GoldStream, "_read", counting)

    def held(self, given: list[GoldRow]) -> tuple[int, int]:
        size = sum(row.size for row in self.read) - sum(row.size for row in given)
        return len(self.read) - len(given), size


@pytest.mark.parametrize(
    ("rows", "size"),
    [(512, 8_000), (7, 64 * 2**20), (512, 100), (512, 64 * 2**20)],
    ids=["bytes", "rows", "every picture is larger", "the table is smaller"],
)
def test_every_row_once_an_epoch_within_both_bounds(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, rows: int, size: int
) -> None:
    monkeypatch.setattr(stream, "_BUFFER_ROWS", rows)
    monkeypatch.setattr(stream, "_BUFFER_BYTES", size)
    reading = Reading(monkeypatch)
    given: list[GoldRow] = []
    for row in islice(open_stream(lake).shuffled(3), 2 * ROWS):
        given.append(row)
        count, held = reading.held(given)
        assert count <= rows
        assert held <= size + LARGEST  # the newest row waits for others to make room

    names = [row.image_id for row in given]
    everything = [f"{i:02}" for i in range(ROWS)]
    assert sorted(names[:ROWS]) == everything
    assert sorted(names[ROWS:]) == everything


def test_the_seed_decides_the_order(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_BUFFER_BYTES", 20_000)

    def order(seed: int) -> list[str]:
        return [row.image_id for row in islice(open_stream(lake).shuffled(seed), 2 * ROWS)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[:ROWS] != order(1)[ROWS:]


def test_in_order_is_the_order_of_the_table(lake: Lake) -> None:
    read = list(open_stream(lake).in_order())
    assert sorted(row.image_id for row in read) == [f"{i:02}" for i in range(ROWS)]
    assert {row.size for row in read} == {1000 + len(MASK), LARGEST}
    assert [row.image_id for row in read] == [r.image_id for r in open_stream(lake).in_order()]

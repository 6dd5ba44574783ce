"""Rows of gold in the order they are stored, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as ds

from boatseg_core.dataset.loader.index import reading
from boatseg_core.lake import Lake

_COLUMNS = ["image_id", "image", "mask", "boat_count", "boat_areas", "boat_boxes", "group_id"]
# Rows turned into Python objects at once, a second time beside their Arrow table.
_SLICE = 16


@dataclass(frozen=True, slots=True)
class GoldRow:
    """One row of gold, still encoded.

    Attributes:
        image_id: Name.
        image: The file's bytes.
        mask: The mask picture's bytes.
        boat_count: Number of objects.
        boat_areas: Pixels of each object.
        boat_boxes: x, y, width, height of each object, in pixels.
        group_id: Images of one group show the same place.
    """

    image_id: str
    image: bytes
    mask: bytes
    boat_count: int
    boat_areas: list[int]
    boat_boxes: list[list[int]]
    group_id: str

    @property
    def size(self) -> int:
        """Bytes of the two pictures."""
        return len(self.image) + len(self.mask)


class GoldStream:
    """Reads one split of one version of gold, a row group at a time.

    Args:
        lake: The lake.
        version: Delta version of ``gold_dataset``.
        split: Split to read.
    """

    def __init__(self, lake: Lake, version: int, split: str) -> None:
        self._version = version
        self._filter = ds.field("split") == split
        dataset = lake.dataset("gold_dataset", version)
        # Sorted, since the order in which a Delta log lists files is not part of its contract.
        fragments = sorted(dataset.get_fragments(), key=lambda fragment: str(fragment.path))
        self._units = []
        for fragment in fragments:
            with reading(version, str(fragment.path)):
                self._units += fragment.split_by_row_group()

    def in_order(self) -> Iterator[GoldRow]:
        """Iterate once over all rows, in the order they are stored."""
        for unit in self._units:
            yield from self._read(unit)

    def _read(self, unit: Any) -> Iterator[GoldRow]:
        with reading(self._version, str(unit.path)):
            table = unit.to_table(columns=_COLUMNS, filter=self._filter)
        for part in table.to_batches(max_chunksize=_SLICE):
            for row in part.to_pylist():
                yield GoldRow(**row)

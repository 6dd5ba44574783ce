"""Rows of gold in a shuffled, reproducible order, with bounded memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as ds

from boatseg_core.lake import Lake

_COLUMNS = ["image_id", "image", "mask", "boat_count", "boat_areas", "boat_boxes", "group_id"]
# Encoded images held to mix neighbouring row groups: some 65 MB of 130 kB pictures.
_BUFFER = 512


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


class GoldStream:
    """Reads one split of one version of gold, a row group at a time.

    Args:
        lake: The lake.
        version: Delta version of ``gold_dataset``.
        split: Split to read.
        with_objects: Leave out images without objects.
    """

    def __init__(self, lake: Lake, version: int, split: str, *, with_objects: bool = False) -> None:
        self._filter = ds.field("split") == split
        if with_objects:
            self._filter &= ds.field("boat_count") > 0
        dataset = lake.dataset("gold_dataset", version)
        # Sorted, since the order in which a Delta log lists files is not part of its contract.
        fragments = sorted(dataset.get_fragments(), key=lambda fragment: str(fragment.path))
        self._units = [unit for fragment in fragments for unit in fragment.split_by_row_group()]

    def in_order(self) -> Iterator[GoldRow]:
        """Iterate once over all rows, in the order they are stored."""
        for unit in self._units:
            yield from self._read(unit)

    def shuffled(self, seed: int) -> Iterator[GoldRow]:
        """Iterate for ever: row groups in a new order each epoch, mixed through a buffer.

        Args:
            seed: The same seed gives the same order.
        """
        generator = random.Random(seed)
        buffer: list[GoldRow] = []
        while True:
            units = self._units.copy()
            generator.shuffle(units)
            for unit in units:
                for row in self._read(unit):
                    if len(buffer) < _BUFFER:
                        buffer.append(row)
                        continue
                    at = generator.randrange(_BUFFER)
                    buffer[at], row = row, buffer[at]
                    yield row
            # A table smaller than the buffer would otherwise be held back for ever.
            generator.shuffle(buffer)
            yield from buffer
            buffer.clear()

    def _read(self, unit: Any) -> Iterator[GoldRow]:
        for row in unit.to_table(columns=_COLUMNS, filter=self._filter).to_pylist():
            yield GoldRow(**row)

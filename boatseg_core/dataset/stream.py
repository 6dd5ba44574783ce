"""Rows of gold in a shuffled, reproducible order, with bounded memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as ds

from boatseg_core.lake import Lake

_COLUMNS = ["image_id", "image", "mask", "boat_count", "boat_areas", "boat_boxes", "group_id"]
# Encoded images held to mix neighbouring row groups, whichever bound is met first: 512 pictures of
# 130 kB are 64 MiB; of larger ones fewer are held (and one that alone is larger is not held back).
_BUFFER_ROWS = 512
_BUFFER_BYTES = 64 * 2**20
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
            held = 0
            for unit in units:
                for row in self._read(unit):
                    buffer.append(row)
                    held += row.size
                    while len(buffer) > _BUFFER_ROWS or held > _BUFFER_BYTES:
                        at = generator.randrange(len(buffer))
                        buffer[at], buffer[-1] = buffer[-1], buffer[at]
                        chosen = buffer.pop()
                        held -= chosen.size
                        yield chosen
            # A table smaller than the buffer would otherwise be held back for ever.
            generator.shuffle(buffer)
            yield from buffer
            buffer.clear()

    def _read(self, unit: Any) -> Iterator[GoldRow]:
        table = unit.to_table(columns=_COLUMNS, filter=self._filter)
        for part in table.to_batches(max_chunksize=_SLICE):
            for row in part.to_pylist():
                yield GoldRow(**row)

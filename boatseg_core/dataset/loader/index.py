"""What is known of a split before a picture is read: its rows, and where they lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from boatseg_core.errors import InputError
from boatseg_core.lake import TABLES, Lake, unreadable

TABLE = "gold_dataset"
BLOBS = ("image", "mask")

# Footers and narrow columns of this many files are read at once: on an object store a file is a
# few requests, each of which only waits.
_FILES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Index:
    """The rows of one split of one version of gold, in the order they are stored.

    Attributes:
        version: Delta version.
        group: int32 ``[N]``: number of the row group of each row, ascending.
        row: int32 ``[N]``: its place within the row group.
        row_bytes: int64 ``[N]``: mean size of a row of that row group, in bytes.
        boats: bool ``[N]``: whether the image has boats.
        columns: Narrow columns, ``N`` rows; ``image_id`` is always among them.
        group_file: int32 ``[G]``: file of each row group.
        group_number: int32 ``[G]``: its number within the file.
        files: Path of each file, sorted.
    """

    version: int
    group: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    row_bytes: npt.NDArray[np.int64]
    boats: npt.NDArray[np.bool_]
    columns: pa.Table
    group_file: npt.NDArray[np.int32]
    group_number: npt.NDArray[np.int32]
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)

    def image_id(self, row: int) -> str:
        """Name of the image of a row."""
        return str(self.columns["image_id"][row].as_py())


@dataclass(frozen=True, slots=True)
class Parts:
    """The opened files of one version of gold.

    Attributes:
        version: Delta version.
        files: Arrow fragments, sorted by path: a Delta log lists them in any order.
        schema: Every column.
        process: The process that opened them.
    """

    version: int
    files: list[Any]
    schema: pa.Schema
    process: int


def open_parts(lake: Lake, version: int | None = None) -> Parts:
    """Open the files of a version of gold, by default the newest."""
    dataset = lake.dataset(TABLE, version)
    files = sorted(dataset.get_fragments(), key=lambda part: str(part.path))
    return Parts(dataset.number, files, dataset.schema, os.getpid())


def read_index(
    parts: Parts,
    version: int,
    split: str,
    columns: Sequence[str],
    blobs: Sequence[str] = BLOBS,
) -> Index:
    """Read the narrow columns of a split.

    Args:
        parts: The files of the version.
        version: Delta version of gold.
        split: The split.
        columns: Narrow columns to keep beside ``image_id``.
        blobs: Columns of pictures that will be read: their size is what a row weighs.

    Raises:
        InputError: The split is empty, or gold has no such column.
        LakeError: The version cannot be read (any more).
    """
    unknown = [name for name in (*columns, *blobs) if name not in TABLES[TABLE].schema.names]
    if unknown:
        raise InputError(
            f"gold has no column {unknown[0]!r}: there are {', '.join(TABLES[TABLE].schema.names)}"
        )
    kept = list(dict.fromkeys(["image_id", *columns]))
    wanted = list(dict.fromkeys([*kept, "split", "boat_count"]))

    def look(part: Any) -> tuple[pa.Table, list[int], list[float]]:
        with reading(version, str(part.path)):
            table = part.to_table(schema=parts.schema, columns=wanted, use_threads=False)
            footer = part.metadata
            counts = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
            sizes = [_mean_bytes(footer.row_group(i), blobs) for i in range(footer.num_row_groups)]
        return table, counts, sizes

    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="index") as pool:
        looks = list(pool.map(look, parts.files))
    counts = np.array([n for _, numbers, _ in looks for n in numbers], dtype=np.int64)
    sizes = np.array([s for _, _, sizes in looks for s in sizes])
    narrow = pa.concat_tables([table for table, _, _ in looks]) if looks else None
    chosen = np.zeros(0, dtype=np.int64)
    if narrow is not None:
        chosen = np.flatnonzero(np.asarray(pc.equal(narrow["split"], split).fill_null(False)))
    if narrow is None or not len(chosen):
        raise InputError(
            f"gold has no {split} image in version {version}: ingest and label more images"
        )
    group = np.repeat(np.arange(len(counts)), counts)[chosen]
    starts = np.cumsum(counts) - counts
    boats = np.asarray(narrow["boat_count"].fill_null(0))[chosen] > 0
    per_file = [len(numbers) for _, numbers, _ in looks]
    return Index(
        version=version,
        group=group.astype(np.int32),
        row=(chosen - starts[group]).astype(np.int32),
        row_bytes=np.ceil(sizes[group]).astype(np.int64),
        boats=boats,
        columns=narrow.select(kept).take(pa.array(chosen)).combine_chunks(),
        group_file=np.repeat(np.arange(len(per_file)), per_file).astype(np.int32),
        group_number=np.array([i for n in per_file for i in range(n)], dtype=np.int32),
        files=tuple(str(part.path) for part in parts.files),
    )


def reading(version: int, path: str = "") -> unreadable.reading:
    """Context that says in one sentence what is wrong with a file of gold that cannot be read."""
    return unreadable.reading(TABLE, version, path)


def _mean_bytes(group: Any, blobs: Sequence[str]) -> float:
    columns = (group.column(i) for i in range(group.num_columns))
    total = sum(c.total_uncompressed_size for c in columns if c.path_in_schema in blobs)
    return float(total / max(1, group.num_rows))

"""Write rows as the Parquet files of a Delta table, in bounded memory.

delta-rs' own writer holds a whole write in memory several times over: on 1,000 pictures of 130 kB
it peaked at 1,060 MB, on 120 pictures of 5 MB at 4,300 MB. Here a row group is what is held, its
size is bounded in bytes as well as in rows, every page carries a checksum, and the file is on the
disk before a commit can name it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from boatseg_core.errors import LakeError
from boatseg_core.lake.files import Files
from boatseg_core.lake.schemas import TableSpec

BLOB_ROWS = 256
"""Most rows in a row group of a table with pictures: a reader can skip to a few of them."""
GROUP_BYTES = 64 * 2**20
"""Bytes in memory after which a row group is closed, whatever its rows."""
NARROW_ROWS = 1_000_000
_FILE_BYTES = 2**30  # a write that is larger is cut into files
_PAGE_ROWS = 8  # values between two looks at a page's size: a page of pictures stays in the cache
_LONGEST_BOUND = 64  # characters; a longer minimum or maximum is left out of the log


def write_parts(
    files: Files, spec: TableSpec, batches: Iterable[pa.RecordBatch], *, only: str | None = None
) -> list[AddAction]:
    """Write rows to new files of a table, which no commit names yet.

    Args:
        files: Files of the lake.
        spec: The table; the rows have its columns and types.
        batches: The rows.
        only: The only batch id that rows may carry.

    Returns:
        An add action per file, durable when this returns. After an error nothing is left behind.

    Raises:
        LakeError: A row is of another batch than ``only``.
    """
    parts: dict[str, _Part] = {}
    done: list[AddAction] = []
    try:
        for batch in batches:
            for value, rows in _by_partition(batch, spec, only):
                part = parts.get(value)
                if part is None:
                    part = parts[value] = _Part(files, spec, value)
                part.take(rows)
                if part.bytes >= _FILE_BYTES:
                    done += parts.pop(value).finish()
        for value in list(parts):
            done += parts.pop(value).finish()
        files.sync([f"{spec.name}/{action.path}" for action in done])
    except BaseException as error:
        for part in parts.values():
            part.abandon(error)
        for action in done:
            files.delete(f"{spec.name}/{action.path}")
        raise
    return done


def _by_partition(
    batch: pa.RecordBatch, spec: TableSpec, only: str | None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    if not batch.num_rows:
        return
    if not spec.partition_by:
        yield "", batch
        return
    column = batch.column(batch.schema.get_field_index(spec.partition_by[0]))
    values = column.unique().to_pylist()
    stray = next((value for value in values if only is not None and value != only), only)
    if stray != only or None in values:
        raise LakeError(
            f"a row of batch {stray} was to be written to batch {only} of table {spec.name}"
        )
    for value in values:
        yield value, batch if len(values) == 1 else batch.filter(pc.equal(column, value))


@dataclass
class _Part:
    """One file being written."""

    files: Files
    spec: TableSpec
    value: str
    rows: int = 0
    bytes: int = 0
    _held: list[pa.RecordBatch] = field(default_factory=list)
    _held_rows: int = 0
    _held_bytes: int = 0

    def __post_init__(self) -> None:
        partition = self.spec.partition_by
        folder = f"{partition[0]}={self.value}/" if partition else ""
        kind = "c000.parquet" if self.spec.blobs else "c000.zstd.parquet"
        self.path = f"{folder}part-00000-{uuid.uuid4()}-{kind}"
        schema = self.spec.schema
        for name in partition:
            schema = schema.remove(schema.get_field_index(name))
        # Comments live in the log; in every file they would only be ballast. Pictures are written
        # from where they are: joined into one buffer first, they would be copied once more.
        self.schema = pa.schema([_as_view(f.remove_metadata()) for f in schema])
        self._stats = _Stats(self.schema)
        self._limit = BLOB_ROWS if self.spec.blobs else NARROW_ROWS
        self._stack = ExitStack()
        self._sink = self._stack.enter_context(self.files.creating(f"{self.spec.name}/{self.path}"))
        narrow = [c for c in self.schema.names if c not in self.spec.blobs]
        self._writer = pq.ParquetWriter(
            self._sink,
            self.schema,
            compression="NONE" if self.spec.blobs else "ZSTD",
            use_dictionary=False if self.spec.blobs else narrow,
            write_statistics=narrow,
            write_page_checksum=True,
            write_batch_size=_PAGE_ROWS if self.spec.blobs else None,
            store_schema=False,
        )

    def take(self, batch: pa.RecordBatch) -> None:
        batch = as_schema(batch.select(self.schema.names), self.schema)
        self._stats.take(batch)
        sizes = row_bytes(batch)
        start = 0
        while start < batch.num_rows:
            # As many rows as fit into the row group; at least one, be it larger than the bound.
            room = GROUP_BYTES - self._held_bytes
            fit = int(np.searchsorted(np.cumsum(sizes[start:]), room, side="right"))
            if fit == 0 and not self._held_rows:
                fit = 1
            fit = min(fit, self._limit - self._held_rows, batch.num_rows - start)
            if fit:
                self._held.append(batch.slice(start, fit))
                self._held_rows += fit
                self._held_bytes += int(sizes[start : start + fit].sum())
                start += fit
            if start < batch.num_rows or self._held_rows == self._limit:
                self._flush()

    def _flush(self) -> None:
        if self._held_rows:
            table = pa.Table.from_batches(self._held, self.schema)
            self._writer.write_table(table, row_group_size=self._held_rows)
            self.files.start_sync(self._sink)
        self.rows += self._held_rows
        self.bytes += self._held_bytes
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def finish(self) -> list[AddAction]:
        self._flush()
        self._writer.close()
        size = self._sink.tell()
        self._stack.close()
        return [
            AddAction(
                self.path,
                size,
                dict.fromkeys(self.spec.partition_by, self.value),
                int(time.time() * 1000),
                True,
                self._stats.json(self.rows),
            )
        ]

    def abandon(self, error: BaseException) -> None:
        # The writer is dropped unclosed: it would try to write a footer, to a full disk perhaps.
        self._writer.is_open = False
        self._stack.__exit__(type(error), error, error.__traceback__)


def as_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Give columns of the right names their types; where they have them, that costs nothing."""
    if batch.schema.types == schema.types:
        return pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    return batch.cast(schema)


def row_bytes(batch: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Approximate bytes of each row: exact for binary and text, shared out for the rest."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_binary_view(column.type):
            total += _view_lengths(column)
        elif pa.types.is_binary(column.type) or pa.types.is_string(column.type):
            lengths = pc.fill_null(pc.binary_length(column), 0)
            total += lengths.to_numpy(zero_copy_only=False)
        else:
            total += column.nbytes // max(1, batch.num_rows)
    return total


def _as_view(field: pa.Field) -> pa.Field:
    return field.with_type(pa.binary_view()) if pa.types.is_binary(field.type) else field


def _view_lengths(column: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Bytes of each value: Arrow has no function for it yet.

    Source: https://arrow.apache.org/docs/format/Columnar.html#variable-size-binary-view-layout
    """
    views = np.frombuffer(column.buffers()[1], np.int32).reshape(-1, 4)
    lengths = views[column.offset : column.offset + len(column), 0].astype(np.int64)
    if column.null_count:
        lengths[column.is_null().to_numpy(zero_copy_only=False)] = 0
    return lengths


class _Stats:
    """What the log says of a file: rows, and bounds by which a reader skips it.

    Bounds only for whole columns of whole numbers and short texts: these are exact, and what
    batches, paths and names are looked up by.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._bounds: dict[str, tuple[Any, Any] | None] = {
            column.name: None
            for column in schema
            if pa.types.is_integer(column.type) or pa.types.is_string(column.type)
        }

    def take(self, batch: pa.RecordBatch) -> None:
        for name in list(self._bounds):
            column = batch.column(batch.schema.get_field_index(name))
            if column.null_count:
                del self._bounds[name]
                continue
            found = pc.min_max(column).as_py()
            low, high = found["min"], found["max"]
            seen = self._bounds[name]
            if seen is not None:
                low, high = min(low, seen[0]), max(high, seen[1])
            self._bounds[name] = (low, high)

    def json(self, rows: int) -> str:
        kept = {
            name: bounds
            for name, bounds in self._bounds.items()
            if bounds is not None
            and all(not isinstance(b, str) or len(b) <= _LONGEST_BOUND for b in bounds)
        }
        return json.dumps(
            {
                "numRecords": rows,
                "minValues": {name: bounds[0] for name, bounds in kept.items()},
                "maxValues": {name: bounds[1] for name, bounds in kept.items()},
                "nullCount": dict.fromkeys(kept, 0),
            }
        )

"""Compact small data files into larger ones, in bounded memory.

Tables that grow by small appends (the ledger, labels, the journal of requests) gather thousands of
files. A batch of pictures is one file and is never rewritten for its size. What is compacted is
read as a stream and committed as a change of files, not of rows: nobody who follows rows sees it,
and application transactions stay where they are, in the log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.transaction import RemoveAction

from boatseg_core.errors import LakeError
from boatseg_core.lake.commit import Lost, active_files, commit
from boatseg_core.lake.parts import write_parts
from boatseg_core.lake.schemas import TABLES
from boatseg_core.lake.store import Lake, conform

SMALL_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Compacted:
    """What was done to a table.

    Attributes:
        name: The table.
        files_before: Data files it had.
        files_after: Data files it has.
        bytes_rewritten: Size of the files that were read.
        skipped: Why small files were left alone, if some were.
    """

    name: str
    files_before: int
    files_after: int
    bytes_rewritten: int = 0
    skipped: str = ""


def optimize(
    lake: Lake,
    names: Sequence[str] | None = None,
    *,
    small_bytes: int = SMALL_BYTES,
    on_table: Callable[[str], None] = lambda name: None,
) -> list[Compacted]:
    """Compact the small files of tables.

    Args:
        lake: The lake.
        names: Tables; by default all that exist.
        small_bytes: Files below this size are compacted, where a partition has two or more.
        on_table: Called with each table's name before it is looked at.

    Raises:
        LakeError: A table cannot be read, or the disk refuses.
    """
    done = []
    for name in names or [name for name in TABLES if lake.exists(name)]:
        on_table(name)
        done.append(_compact(lake, name, small_bytes))
    return done


def _compact(lake: Lake, name: str, small_bytes: int) -> Compacted:
    table = lake.create(name)
    files = active_files(table)
    result = Compacted(name, files.height, files.height)
    extra = {field.name for field in table.schema().fields} - set(TABLES[name].schema.names)
    for small in _candidates(files, small_bytes):
        if extra:
            reason = f"a newer boatseg gave it the columns {', '.join(sorted(extra))}"
            return replace(result, skipped=reason)
        try:
            written = _merge(lake, name, table, small)
        except Lost:
            return replace(result, skipped="another process rewrote its files meanwhile")
        table = lake.table(name)
        result = replace(
            result,
            files_after=result.files_after - small.height + written,
            bytes_rewritten=result.bytes_rewritten + int(small["size_bytes"].sum()),
        )
    return result


def _candidates(files: pl.DataFrame, small_bytes: int) -> Iterator[pl.DataFrame]:
    """Groups of two and more small files of one partition, oldest file first."""
    if files.is_empty():
        return
    small = files.filter(pl.col("size_bytes") < small_bytes).sort("modification_time", "path")
    if "partition.batch_id" not in files.columns:
        groups = [small]
    else:
        groups = small.partition_by("partition.batch_id", maintain_order=True)
    yield from (group for group in groups if group.height > 1)


def _merge(lake: Lake, name: str, table: DeltaTable, small: pl.DataFrame) -> int:
    """Rewrite files as one; returns the number of files written."""
    spec = TABLES[name]
    paths = small["path"].to_list()
    try:
        adds = write_parts(
            lake.files, spec, (conform(b, spec) for b in _stream(lake, name, table, paths))
        )
    except (OSError, pa.ArrowException) as error:
        raise LakeError(f"table {name} in {lake.root} cannot be compacted: {error}") from error
    rows = sum(json.loads(add.stats)["numRecords"] for add in adds)
    try:
        if rows != int(small["num_records"].sum()):
            raise LakeError(
                f"table {name} was not compacted: its log counts "
                f"{int(small['num_records'].sum())} rows in {len(paths)} files, which hold {rows}; "
                "run `boatseg lake doctor --deep`"
            )
        commit(
            lake.files,
            name,
            table,
            lambda: lake.table(name),
            [replace(add, data_change=False) for add in adds],
            removes=lambda now: _removes(now, small),
            metadata={"boatseg.operation": "OPTIMIZE"},
        )
    except (Lost, LakeError):
        for add in adds:
            lake.files.delete(f"{name}/{add.path}")
        raise
    except (DeltaError, OSError) as error:
        raise LakeError(f"table {name} in {lake.root} cannot be compacted: {error}") from error
    return len(adds)


def _stream(lake: Lake, name: str, table: DeltaTable, paths: list[str]) -> Iterator[pa.RecordBatch]:
    whole = lake.dataset(name, table.version())
    fragments = {fragment.path: fragment for fragment in whole.get_fragments()}
    for path in paths:  # one after the other: the order of the rows is kept, and little is open
        one = ds.FileSystemDataset([fragments[path]], whole.schema, whole.format, whole.filesystem)
        scanner = one.scanner(
            batch_size=64 if TABLES[name].blobs else 65_536,
            batch_readahead=2,
            fragment_readahead=1,
        )
        yield from scanner.to_batches()


def _removes(table: DeltaTable, small: pl.DataFrame) -> list[RemoveAction]:
    if not set(small["path"]) <= set(active_files(table)["path"]):
        raise Lost("its files were replaced")
    at = int(time.time() * 1000)
    return [
        RemoveAction(
            row["path"],
            False,
            at,
            row["size_bytes"],
            {
                key.removeprefix("partition."): value
                for key, value in row.items()
                if key.startswith("partition.")
            },
        )
        for row in small.iter_rows(named=True)
    ]

"""SQL over pinned snapshots of the lake, read-only.

DuckDB scans each table through the Arrow dataset that delta-rs opens, so a query sees one Delta
version of each table from beginning to end, opens only the partitions and files its filters leave,
and reads only the columns it names: ``count(*)`` never touches a picture. No DuckDB extension is
loaded, nothing is fetched, and no file can be reached from within a query.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds

from boatseg_core.errors import InputError
from boatseg_core.lake.schemas import TABLES
from boatseg_core.lake.sql_guard import check, first_words
from boatseg_core.lake.sql_table import render_table
from boatseg_core.lake.store import Lake

__all__ = ["query", "render_table"]

SECONDS = 60.0
MEMORY = "1GB"
MAX_BYTES = 500_000_000

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?)?B\s*", re.IGNORECASE)
_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
    "SET lock_configuration = true",
)


class _Snapshot(ds.FileSystemDataset):  # type: ignore[misc]  # pyarrow ships no types
    """A dataset whose scans with pictures read a little ahead instead of a lot.

    Measured behind a reader that stops after its first rows, on 2 GB of 100 kB pictures: Arrow's
    defaults go on to read all of it, these settings stop at 0.3 GB.
    """

    blobs: frozenset[str] = frozenset()

    def options(self, columns: list[str] | None) -> dict[str, Any]:
        """Options of a scan of these columns; ``None`` for all."""
        if not self.blobs.intersection(self.schema.names if columns is None else columns):
            return {}
        return {
            "batch_size": 64,
            "batch_readahead": 2,
            "fragment_readahead": 1,
            # By default the wanted columns of a whole file are fetched before its first row.
            "fragment_scan_options": ds.ParquetFragmentScanOptions(pre_buffer=False),
        }

    def scanner(self, *args: Any, **options: Any) -> ds.Scanner:
        return super().scanner(*args, **{**options, **self.options(options.get("columns"))})


def query(
    lake: Lake,
    sql: str,
    *,
    versions: Mapping[str, int] | None = None,
    seconds: float = SECONDS,
    memory: str = MEMORY,
    max_bytes: int = MAX_BYTES,
) -> pl.DataFrame:
    """Run one reading statement over the lake's tables.

    Args:
        lake: The lake; each of its tables that exists can be named in the query.
        sql: One SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement, DuckDB's dialect.
        versions: Delta versions to pin, by table; every other table is pinned at its newest.
        seconds: The query is stopped after this time.
        memory: DuckDB's memory limit, for example ``512MB``.
        max_bytes: A larger result is refused.

    Returns:
        The result; a second column of the same name gets a number.

    Raises:
        InputError: The statement is not allowed, is wrong, takes too long or too much memory, or
            its result is too large.
        LakeError: A pinned version does not exist.
    """
    limit = _bytes(memory)
    unknown = sorted(set(versions or {}) - set(TABLES))
    if unknown:
        raise InputError(f"no table is called {unknown[0]!r}: there are {', '.join(TABLES)}")
    snapshots = _snapshots(lake, versions or {})
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": f"{limit}B",
            # Nothing is spilled: a folder of temporary files would be a way to fill the disk.
            "temp_directory": "",
        },
    )
    try:
        for name, snapshot in snapshots.items():
            connection.register(name, snapshot)
        for statement in _SETTINGS:
            connection.execute(statement)
        text = check(
            connection, sql, tables=snapshots, missing=[n for n in TABLES if n not in snapshots]
        )
        return _run(connection, text, seconds, limit, max_bytes)
    finally:
        connection.close()


def _snapshots(lake: Lake, versions: Mapping[str, int]) -> dict[str, ds.Dataset]:
    found = {}
    for name, spec in TABLES.items():
        if name not in versions and not lake.exists(name):
            continue
        opened = lake.dataset(name, versions.get(name))
        snapshot = _Snapshot(
            list(opened.get_fragments()), opened.schema, opened.format, opened.filesystem
        )
        snapshot.blobs = frozenset(spec.blobs)
        found[name] = snapshot
    return found


def _run(
    connection: duckdb.DuckDBPyConnection,
    text: str,
    seconds: float,
    memory: int,
    max_bytes: int,
) -> pl.DataFrame:
    batches: list[pa.RecordBatch] = []
    size = 0
    # DuckDB does not count strings inside lists, nor Arrow's buffers, towards its limit.
    ceiling = _resident() + memory + 2 * max_bytes + 2**29
    with _watched(connection.interrupt, seconds, ceiling) as verdict:
        try:
            # A relation streams; execute() would hold the whole result before the first row.
            reader = connection.sql(text).to_arrow_reader(1024)
            schema = reader.schema
            for batch in reader:
                size += batch.nbytes
                if size > max_bytes:
                    raise InputError(
                        f"the result is larger than {max_bytes / 1e6:.0f} MB: add a LIMIT or "
                        "select fewer columns"
                    )
                batches.append(batch)
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            if verdict:
                raise InputError(verdict[0]) from error
            if isinstance(error, duckdb.OutOfMemoryException):
                raise InputError(
                    f"the query needs more than its {memory / 1e6:.0f} MB of memory: select "
                    "fewer columns or rows, or raise the limit"
                ) from error
            raise InputError(f"the query cannot be run: {first_words(error)}") from error
    return _frame(schema, batches)


@contextmanager
def _watched(interrupt: Callable[[], None], seconds: float, ceiling: int) -> Iterator[list[str]]:
    """Interrupt a query that runs too long or grows too large; yields the reason, once there is."""
    verdict: list[str] = []
    done = threading.Event()
    deadline = time.monotonic() + seconds

    def watch() -> None:
        # Repeated: an interrupt that comes before DuckDB starts to run is forgotten by it.
        while not done.wait(0.05):
            if not verdict and time.monotonic() > deadline:
                verdict.append(
                    f"the query was stopped after {seconds:g} s: narrow it with WHERE or LIMIT, "
                    "or give it more time"
                )
            if not verdict and _resident() > ceiling:
                verdict.append(
                    "the query was stopped because it used too much memory: select fewer rows "
                    "or leave out pictures"
                )
            if verdict:
                interrupt()

    watcher = threading.Thread(target=watch, name="sql-watch", daemon=True)
    watcher.start()
    try:
        yield verdict
    finally:
        done.set()
        watcher.join()


def _resident() -> int:
    """Memory of this process in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _frame(schema: pa.Schema, batches: list[pa.RecordBatch]) -> pl.DataFrame:
    names: list[str] = []
    for name in schema.names:
        alias, number = name, 2
        while alias in names:
            alias, number = f"{name}_{number}", number + 1
        names.append(alias)
    table = pa.Table.from_batches(batches, schema).rename_columns(names)
    for position, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_interval(kind):
            # Months have no fixed length: polars has no type for them.
            texts = pa.array(map(_interval, table[position].to_pylist()), pa.string())
            table = table.set_column(position, field.name, texts)
        elif pa.types.is_decimal(kind) and kind.scale == 0:
            # sum() of whole numbers: 128 bits in DuckDB, plain numbers for everyone else.
            try:
                table = table.set_column(position, field.name, table[position].cast(pa.int64()))
            except pa.ArrowInvalid:
                continue
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _interval(value: tuple[int, int, int] | None) -> str | None:
    if value is None:
        return None
    months, days, nanoseconds = value
    parts = {"months": months, "days": days, "seconds": nanoseconds / 1e9}
    return " ".join(f"{amount:g} {unit}" for unit, amount in parts.items() if amount) or "0 seconds"


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        raise InputError(f"{text!r} is not an amount of memory, such as 512MB or 2GiB")
    unit = match[2] or ""
    base = 1024 if unit.lower().endswith("i") else 1000
    return int(float(match[1]) * base ** _POWER[unit[:1].upper()])

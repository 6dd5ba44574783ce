"""SQL over pinned snapshots of the lake, read-only and lazy.

DuckDB scans each table through an Arrow dataset, so a query sees one Delta version of each table
from beginning to end, opens only the partitions and files its filters leave, and reads only the
columns it names: ``count(*)`` never touches a picture. No DuckDB extension is loaded, nothing is
fetched, and no file can be reached from within a query.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import duckdb
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from boatseg_core.errors import InputError
from boatseg_core.lake.schemas import TABLES
from boatseg_core.lake.sql_guard import check
from boatseg_core.lake.sql_run import Bounded, Unstoppable, resident, stream, to_frame
from boatseg_core.lake.sql_snapshots import Stats, bytes_read, open_snapshots
from boatseg_core.lake.sql_table import render_table
from boatseg_core.lake.store import Lake

__all__ = ["Answer", "Stats", "Unstoppable", "ask", "query", "render_table"]

T = TypeVar("T")

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


class Answer:
    """The answer to a statement: checked and pinned now, read when it is asked for.

    Attributes:
        sql: The statement.
        versions: Delta version of every table that it names.
        stats: What the last run cost; ``None`` before the first.
    """

    def __init__(
        self,
        lake: Lake,
        sql: str,
        *,
        versions: Mapping[str, int] | None = None,
        at: datetime | None = None,
        seconds: float = SECONDS,
        memory: str = MEMORY,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """See :func:`ask`."""
        self.sql = sql
        self.stats: Stats | None = None
        if not seconds > 0:  # nor is NaN, which would never be over
            raise InputError(f"{seconds} is not a time in seconds that a query can have")
        self._memory, self._seconds, self._max_bytes = _bytes(memory), seconds, max_bytes
        self._local = "://" not in lake.root
        self._snapshots, self._unwritten = open_snapshots(lake, sql, versions or {}, at)
        self.versions = {name: opened.read.version for name, opened in self._snapshots.items()}
        with self._connected() as connection:
            self._text = check(connection, sql, tables=list(TABLES))
        self._frame: pl.DataFrame | None = None

    def polars(self) -> pl.DataFrame:
        """The whole result; read once, then kept.

        A second column of the same name gets a number.

        Raises:
            InputError: The statement is wrong, takes too long or too much memory, or its result is
                too large.
        """
        if self._frame is None:
            self._frame = self._run(self._text)
        return self._frame

    def arrow(self) -> pa.Table:
        """The whole result as an Arrow table; see :meth:`polars`."""
        return self.polars().to_arrow()

    def lazy(self) -> pl.LazyFrame:
        """The result as a lazy frame: columns it is not asked for are never read.

        ``lake.sql("SELECT * FROM gold_dataset").lazy().select("boat_count").mean().collect()``
        reads one narrow column. Filters on a lazy frame are applied to the result, filters in the
        SQL to the files.
        """
        nested = self._nested()
        empty = self.polars()[:0] if nested is None else self._run(f"FROM {nested} LIMIT 0")

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
        ) -> Iterator[pl.DataFrame]:
            if self._frame is not None or nested is None:
                frame = self.polars()
                frame = frame if columns is None else frame.select(columns)
                frame = frame if rows is None else frame.head(rows)
            else:
                names = "*" if columns is None else ", ".join(map(_quoted, columns))
                limit = "" if rows is None else f" LIMIT {rows}"
                # Asked for nothing but how many, any value will do.
                frame = self._run(f"SELECT {names or '1'} FROM {nested}{limit}")
            yield frame if predicate is None else frame.filter(predicate)

        return register_io_source(read, schema=empty.schema, is_pure=True)

    def _repr_html_(self) -> str:
        return self.polars()._repr_html_()

    def __repr__(self) -> str:
        pinned = ", ".join(f"{name} at {version}" for name, version in self.versions.items())
        return f"<Answer to {self.sql!r}: {pinned or 'no table'}>"

    def _nested(self) -> str | None:
        """The statement in brackets, where it means the same there."""
        if self._text.startswith("EXPLAIN "):
            return None
        connection = self._connected()

        def columns() -> list[str]:
            with connection:
                return list(connection.sql(self._text).columns)

        try:
            names = self._bounded(connection, columns)
        except duckdb.Error:
            return None  # running it tells what is wrong
        # In brackets, a second column of the same name would get another name than outside.
        return f"(\n{self._text}\n)" if len({*map(str.lower, names)}) == len(names) else None

    def _connected(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "memory_limit": f"{self._memory}B",
                # Nothing is spilled: a folder of temporary files would be a way to fill the disk.
                "temp_directory": "",
            },
        )
        for name, table in {**self._snapshots, **self._unwritten}.items():
            connection.register(name, table)
        for statement in _SETTINGS:
            connection.execute(statement)
        return connection

    def _run(self, text: str) -> pl.DataFrame:
        for snapshot in self._snapshots.values():
            snapshot.read.columns, snapshot.read.files = [], 0
        connection = self._connected()

        def work() -> pl.DataFrame:
            with connection:
                return to_frame(*stream(connection, text, self._memory, self._max_bytes))

        read, begin = bytes_read() if self._local else None, time.perf_counter()
        frame = self._bounded(connection, work)
        seconds, after = time.perf_counter() - begin, bytes_read()
        self.stats = Stats(
            seconds=seconds,
            rows=frame.height,
            bytes_read=None if read is None or after is None else after - read,
            tables={name: replace(opened.read) for name, opened in self._snapshots.items()},
        )
        return frame

    def _bounded(self, connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
        # DuckDB does not count strings inside lists, nor Arrow's buffers, towards its limit.
        ceiling = resident() + self._memory + 2 * self._max_bytes + 2**29
        return Bounded(work, connection.interrupt, self._seconds, ceiling).result()


def ask(lake: Lake, sql: str, **options: Any) -> Answer:
    """Ask the lake's tables.

    Args:
        lake: The lake; each of its tables can be named in the query, and is empty where it was not
            written yet.
        sql: One SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement, DuckDB's dialect.
        **options: ``versions`` (Delta versions to pin, by table), ``at`` (a time: every other
            table is read as it was then, by default as it is now), ``seconds`` (the query is
            stopped after this time), ``memory`` (DuckDB's limit, for example ``512MB``) and
            ``max_bytes`` (a larger result is refused).

    Returns:
        The answer, which is read when it is asked for.

    Raises:
        InputError: The statement is not allowed.
        LakeError: A pinned version does not exist.
    """
    return Answer(lake, sql, **options)


def query(lake: Lake, sql: str, **options: Any) -> pl.DataFrame:
    """Run one reading statement and return its whole result; see :func:`ask`.

    Raises:
        InputError: The statement is not allowed, is wrong, takes too long or too much memory, or
            its result is too large.
        LakeError: A pinned version does not exist.
    """
    return ask(lake, sql, **options).polars()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        raise InputError(f"{text!r} is not an amount of memory, such as 512MB or 2GiB")
    unit = match[2] or ""
    base = 1024 if unit.lower().endswith("i") else 1000
    return int(float(match[1]) * base ** _POWER[unit[:1].upper()])

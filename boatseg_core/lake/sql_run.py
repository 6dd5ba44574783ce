"""Run a checked statement within limits of time, memory and size."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from boatseg_core.errors import InputError
from boatseg_core.lake.sql_guard import first_words

_GRACE = 1.0  # s that a query has to stop in once it was told to
_POLL = 0.05  # s
_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
# Days from 1970 to the ends of the years that Python's dates have.
_FIRST_DAY = -719_162
_BEYOND_LAST_DAY = 2_932_897
T = TypeVar("T")


class Unstoppable(InputError):
    """A query that was told to stop and has not: it still runs in its thread.

    DuckDB looks for an interrupt between vectors of 2,048 values, and one call of ``repeat()`` can
    make gigabytes of a single value. Only the end of the process ends such a query.
    """


def stream(
    connection: duckdb.DuckDBPyConnection, text: str, memory: int, max_bytes: int
) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """Run a statement and keep its result, up to a size.

    Raises:
        InputError: The statement is wrong, needs too much memory or its result is too large.
    """
    batches: list[pa.RecordBatch] = []
    size = 0
    try:
        # A relation streams; execute() would hold the whole result before the first row.
        reader = connection.sql(text).to_arrow_reader(1024)
        for batch in reader:
            size += batch.nbytes
            if size > max_bytes:
                raise InputError(
                    f"the result is larger than {max_bytes / 1e6:.0f} MB: add a LIMIT or "
                    "select fewer columns"
                )
            batches.append(batch)
        return reader.schema, batches
    except duckdb.OutOfMemoryException as error:
        raise InputError(
            f"the query needs more than its {memory / 1e6:.0f} MB of memory: select fewer columns "
            "or rows, or raise the limit"
        ) from error
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise InputError(f"the query cannot be run: {first_words(error)}") from error


class Bounded(Generic[T]):
    """Runs work in a thread of its own and gives up on it when it takes too long or too much.

    Args:
        work: What to do.
        interrupt: Tells the work to stop.
        seconds: Time it has.
        ceiling: Resident memory of the process at which it is stopped, in bytes.
    """

    def __init__(
        self, work: Callable[[], T], interrupt: Callable[[], None], seconds: float, ceiling: int
    ) -> None:
        self._work, self._interrupt = work, interrupt
        self._seconds, self._ceiling = seconds, ceiling
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def result(self) -> T:
        """Do the work.

        Raises:
            InputError: It was stopped.
            Unstoppable: It was told to stop and did not.
        """
        thread = threading.Thread(target=self._run, name="sql", daemon=True)
        begin = time.monotonic()
        thread.start()
        verdict, told = "", 0.0
        try:
            while not self._done.wait(_POLL):
                now = time.monotonic()
                if not verdict:
                    verdict, told = self._verdict(now - begin), now
                if verdict:
                    # Repeated: an interrupt that comes before DuckDB starts to run is forgotten.
                    # One that comes after the end finds the connection closed.
                    with suppress(duckdb.Error):
                        self._interrupt()
                    if now - told > _GRACE:
                        raise Unstoppable(verdict)
        except KeyboardInterrupt:
            with suppress(duckdb.Error):
                self._interrupt()
            self._done.wait(_GRACE)
            raise
        if verdict:
            raise InputError(verdict) from self._error
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # raised where the result was asked for
            self._error = error
        finally:
            self._done.set()

    def _verdict(self, seconds: float) -> str:
        if seconds > self._seconds:
            return (
                f"the query was stopped after {self._seconds:g} s: narrow it with WHERE or "
                "LIMIT, or give it more time"
            )
        if resident() > self._ceiling:
            return (
                "the query was stopped because it used too much memory: select fewer rows or "
                "leave out pictures"
            )
        return ""


def resident() -> int:
    """Memory of this process in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def to_frame(schema: pa.Schema, batches: list[pa.RecordBatch]) -> pl.DataFrame:
    """Turn a result into a frame; a second column of the same name gets a number.

    Raises:
        InputError: A column holds what a frame cannot: a union, an interval in a list, or a date
            outside of the years 1 to 9999 (DuckDB has more, and infinity).
    """
    names: list[str] = []
    for name in schema.names:
        alias, number = name, 2
        while alias in names:
            alias, number = f"{name}_{number}", number + 1
        names.append(alias)
    table = pa.Table.from_batches(batches, schema).rename_columns(names)
    for name, column in zip(table.column_names, table.columns, strict=True):
        what = _unfit(column.chunks) if column.num_chunks else None
        if what is not None:
            raise InputError(
                f"the column {name} of the result holds {what}: cast it to VARCHAR in the query"
            )
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


def _unfit(arrays: list[pa.Array], *, nested: bool = False) -> str | None:
    """Say what of these values neither Polars nor Python has; ``None`` where there is nothing."""
    kind = arrays[0].type
    if pa.types.is_union(kind):
        return "a union"
    if pa.types.is_interval(kind) and nested:
        return "intervals in a list or a struct"
    if pa.types.is_date32(kind) or pa.types.is_timestamp(kind):
        counts = [array.view(pa.int32() if pa.types.is_date32(kind) else pa.int64())
                  for array in arrays]  # fmt: skip
        day = 1 if pa.types.is_date32(kind) else _DAY[kind.unit]
        extremes = pc.min_max(pa.chunked_array(counts)).as_py()
        if extremes["min"] is None:
            return None
        fits = _FIRST_DAY * day <= extremes["min"] and extremes["max"] < _BEYOND_LAST_DAY * day
        return None if fits else "a date outside of the years 1 to 9999"
    parts: list[list[pa.Array]] = []
    if pa.types.is_struct(kind):
        parts = [list(part) for part in zip(*(array.flatten() for array in arrays), strict=True)]
    elif pa.types.is_map(kind):
        parts = [[array.keys for array in arrays], [array.items for array in arrays]]
    elif pa.types.is_nested(kind):
        parts = [[array.flatten() for array in arrays]]
    return next(filter(None, (_unfit(part, nested=True) for part in parts)), None)


def _interval(value: tuple[int, int, int] | None) -> str | None:
    if value is None:
        return None
    months, days, nanoseconds = value
    parts = {"months": months, "days": days, "seconds": nanoseconds / 1e9}
    return " ".join(f"{amount:g} {unit}" for unit, amount in parts.items() if amount) or "0 seconds"

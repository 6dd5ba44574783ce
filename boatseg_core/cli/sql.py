"""``boatseg sql``: ask the tables."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boatseg_core.cli import screen
from boatseg_core.cli.failure import MISUSED, say_error
from boatseg_core.cli.options import (
    current_settings,
    home_option,
    is_empty,
    nothing_here,
    open_lake,
    output_option,
)
from boatseg_core.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from boatseg_core.lake.sql import Answer, Stats

FORMATS = ("table", "csv", "json", "parquet", "pictures")
ENDINGS = {
    ".txt": "table",
    ".csv": "csv",
    ".json": "json",
    ".parquet": "parquet",
    ".html": "pictures",
    ".htm": "pictures",
}
"""What the ending of ``--output`` says."""


def _pins(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    pins = {}
    for value in values:
        table, _, number = value.partition("=")
        if not table or not (number.isascii() and number.isdigit()):
            raise click.BadParameter(
                f"{value!r} is not a table and its version, such as gold_dataset=3.", ctx, param
            )
        pins[table] = int(number)
    return pins


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a time, such as 2026-05-01 or 2026-05-01T13:30:00+02:00.", ctx, param
        ) from None


@click.command()
@click.argument("query", metavar='"SELECT ..."')
@click.option(
    "--version",
    "pins",
    metavar="TABLE=N",
    multiple=True,
    callback=_pins,
    help="Delta version to read a table at; may be given for several tables.",
)
@click.option(
    "--at",
    metavar="TIME",
    callback=_time,
    help="Read the other tables as they were at this time (ISO 8601; without a zone, UTC).",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="By default a table, or what the ending of --output says; pictures is a page of the "
    "columns image, mask and boat_rles.",
)
@output_option("Write into a file instead of to the terminal.", file=True)
@click.option(
    "--rows", type=click.IntRange(1), default=100, show_default=True, help="Most rows in a table."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Stop the query after this time.",
)
@click.option("--memory", default="1GB", show_default=True, help="Most memory the query may take.")
@click.option("--stats", is_flag=True, help="Say what was read: versions, columns, files, bytes.")
@home_option
def sql(
    query: str,
    pins: dict[str, int],
    at: datetime | None,
    kind: str | None,
    output: Path | None,
    rows: int,
    seconds: float,
    memory: str,
    stats: bool,
) -> None:
    """Run one reading statement (DuckDB's SQL) over the tables that `boatseg tables` lists.

    Each table is read at one Delta version from beginning to end; one that was not written yet is
    empty. In CSV and JSON, pictures are base64.
    """
    from boatseg_core.lake import sql as engine

    kind = kind or _kind_of(output)
    if kind == "parquet" and output is None and sys.stdout.isatty():
        raise InputError("parquet is not for a terminal: name a file with --output")
    settings = current_settings()
    lake = open_lake(settings)
    if is_empty(lake):
        screen.note(nothing_here(settings))
    with screen.err().status("running the query"):
        answer = engine.ask(lake, query, versions=pins, at=at, seconds=seconds, memory=memory)
        frame = read(answer)
    if kind == "pictures":
        from boatseg_core.gallery.page import write_page
        from boatseg_core.gallery.query import cards_from_frame

        path = output or settings.paths.reports / "sql.html"
        cards = cards_from_frame(frame, scored="predictions" in answer.versions)
        noun = settings.labels.class_name
        with screen.err().status("drawing"):
            page = write_page(path, query, cards, class_name=noun, count=frame.height)
        screen.say(page.as_uri())
    elif kind == "table" and output is None:
        screen.out().print(engine.render_table(frame, max_rows=rows))
    else:
        data = _encode(frame, kind, rows)
        if output is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            _write(output, data)
            size = screen.size(len(data))
            screen.note(f"wrote {screen.counted(frame.height, 'row')} ({size}): {output}")
    if stats and answer.stats is not None:
        _say_stats(answer.stats)


def read(answer: Answer) -> pl.DataFrame:
    """Read an answer; a query that does not stop when it is told to ends with this process."""
    from boatseg_core.lake.sql import Unstoppable

    try:
        return answer.polars()
    except Unstoppable as error:
        say_error(str(error))
        sys.stderr.flush()
        os._exit(MISUSED)  # an ordinary exit would wait for the thread that is still running it


def _say_stats(stats: Stats) -> None:
    """What the query read, on standard error."""
    read = "not counted here" if stats.bytes_read is None else screen.size(stats.bytes_read)
    screen.note(f"{screen.counted(stats.rows, 'row')} in {stats.seconds:.2f} s, bytes read: {read}")
    for name, table in stats.tables.items():
        columns = ", ".join(table.columns) or "none"
        screen.note(
            f"{name} at version {table.version}: {table.files} of {table.of_files} files left by "
            f"the filters, {screen.size(table.of_bytes)} in all; columns: {columns}"
        )


def _kind_of(output: Path | None) -> str:
    if output is None:
        return "table"
    ending = output.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{output.name} has no ending that says a format: use one of "
            f"{', '.join(list(ENDINGS)[:-1])}, or name the format with --format"
        )
    return ENDINGS[ending]


def _encode(frame: pl.DataFrame, kind: str, rows: int) -> bytes:
    if kind == "parquet":
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        return buffer.getvalue()
    if kind == "csv":
        return _flat(frame).write_csv().encode()
    if kind == "json":
        lines = (json.dumps(_plain(row)) for row in frame.iter_rows(named=True))
        return ("[" + ",\n ".join(lines) + "]\n").encode()
    from rich.console import Console

    from boatseg_core.lake.sql_table import render_table

    page = io.StringIO()
    Console(file=page, width=screen.UNBOUNDED).print(render_table(frame, max_rows=rows))
    return page.getvalue().encode()


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Replace columns that a CSV cell cannot hold: lists by JSON, bytes by base64."""
    import polars as pl

    def text(value: Any) -> str | None:
        plain = _plain(value)
        return plain if plain is None or isinstance(plain, str) else json.dumps(plain)

    return frame.with_columns(
        pl.Series(name, [text(value) for value in frame[name].to_list()], dtype=pl.String)
        for name, kind in frame.schema.items()
        if kind.is_nested() or kind == pl.Binary or kind == pl.Duration
    )


def _plain(value: Any) -> Any:
    """Bring a value to what JSON has; what is not a number there becomes null."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case float() if not math.isfinite(value):
            return None
        case None | bool() | int() | float() | str():
            return value
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _write(path: Path, data: bytes) -> None:
    """Write a file at once: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # it may never have come to be
            temporary.unlink()
        raise InputError(f"{path} cannot be written: {error.strerror}") from error

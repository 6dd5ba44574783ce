"""``boatseg sql``: ask the tables."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import current_settings, filled_lake, home_option
from boatseg_core.errors import InputError

if TYPE_CHECKING:
    import polars as pl

FORMATS = ("table", "csv", "json", "parquet")


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
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="By default a table, or what the ending of --output says.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write into a file instead of to the terminal.",
)
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
@home_option
def sql(
    query: str,
    pins: dict[str, int],
    kind: str | None,
    output: Path | None,
    rows: int,
    seconds: float,
    memory: str,
) -> None:
    """Run one reading statement (DuckDB's SQL) over the tables that `boatseg tables` lists.

    Each table is read at one Delta version from beginning to end. In CSV and JSON, pictures are
    base64.
    """
    from boatseg_core.lake import sql as engine

    kind = kind or _kind_of(output)
    if kind == "parquet" and output is None and sys.stdout.isatty():
        raise InputError("parquet is not for a terminal: name a file with --output")
    lake = filled_lake(current_settings())
    with screen.err().status("running the query"):
        frame = engine.query(lake, query, versions=pins, seconds=seconds, memory=memory)
    if kind == "table" and output is None:
        screen.out().print(engine.render_table(frame, max_rows=rows))
        return
    data = _encode(frame, kind, rows)
    if output is None:
        sys.stdout.buffer.write(data)
        return
    _write(output, data)
    screen.note(f"wrote {screen.counted(frame.height, 'row')} ({screen.size(len(data))}): {output}")


def _kind_of(output: Path | None) -> str:
    ending = "" if output is None else output.suffix.lower().removeprefix(".")
    return ending if ending in FORMATS else "table"


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

"""``boatseg tables`` and ``boatseg describe``: what the lake holds."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

import click
from rich.text import Text

from boatseg_core.cli import screen
from boatseg_core.cli.options import (
    current_settings,
    home_option,
    is_empty,
    json_option,
    nothing_here,
    open_lake,
)
from boatseg_core.errors import InputError
from boatseg_core.lake import TABLES, Lake

_WIDE = 110


@click.command()
@json_option
@home_option
def tables(as_json: bool) -> None:
    """List the tables: layer, rows, Delta version, size and what a row is."""
    settings = current_settings()
    lake = open_lake(settings)
    rows = [_facts(lake, name) for name in TABLES]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    screen.print_table(
        ("table", "layer", "rows", "version", "size", "a row is"),
        [
            (
                Text(row["name"], "bold" if row["version"] is not None else "dim"),
                row["layer"],
                row["rows"],
                row["version"],
                None if row["bytes"] is None else screen.size(row["bytes"]),
                _row_is(row["description"]),
            )
            for row in rows
        ],
        right=("rows", "version", "size"),
        fold=("a row is",),
    )
    if is_empty(lake):
        screen.note(nothing_here(settings))


@click.command()
@click.argument("table")
@json_option
@home_option
def describe(table: str, as_json: bool) -> None:
    """List the columns of TABLE: type and meaning."""
    spec = TABLES.get(table)
    if spec is None:
        close = [name for name in TABLES if table and table in name]
        close = close or difflib.get_close_matches(table, TABLES, n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(TABLES)}"
        raise InputError(f"no table is called {table!r}: {hint}")
    lake = open_lake(current_settings())
    facts = _facts(lake, table)
    columns = [
        {
            "name": column.name,
            "type": str(column.type).replace("item: ", "").replace("element: ", ""),
            "partition": column.name in spec.partition_by,
            "comment": column.comment,
        }
        for column in spec.columns
    ]
    if as_json:
        click.echo(json.dumps(facts | {"columns": columns}, indent=2))
        return
    screen.say(f"{table} ({spec.layer})", "bold")
    screen.say(spec.description)
    by = f"partitioned by {', '.join(spec.partition_by)}" if spec.partition_by else "one partition"
    if facts["version"] is None:
        screen.say(f"{by}; not written yet", "dim")
    else:
        rows, volume = screen.counted(facts["rows"], "row"), screen.size(facts["bytes"])
        screen.say(f"{by}; {rows}, {volume}, Delta version {facts['version']}", "dim")
    screen.say("")
    screen.print_table(
        ("column", "type", "meaning"),
        [(Text(str(c["name"]), "bold"), c["type"], c["comment"]) for c in columns],
        fold=("meaning",),
    )


def _row_is(description: str) -> str:
    """Shorten "One row an image: what ..." for a column headed "a row is"."""
    text = description.removeprefix("One row ").rstrip(".")
    return text if screen.out().width >= _WIDE else re.split("[:;,]", text)[0]


def _facts(lake: Lake, name: str) -> dict[str, Any]:
    """Rows and bytes from the transaction log; no data file is opened."""
    import polars as pl
    import pyarrow as pa

    spec = TABLES[name]
    facts: dict[str, Any] = {
        "name": name,
        "layer": spec.layer,
        "description": spec.description,
        "version": None,
        "rows": None,
        "bytes": None,
        "partition_by": list(spec.partition_by),
    }
    if lake.exists(name):
        table = lake.table(name)
        files = pl.DataFrame(pa.table(table.get_add_actions(flatten=True)))
        facts["version"] = table.version()
        facts["rows"] = int(files["num_records"].sum()) if files.height else 0
        facts["bytes"] = int(files["size_bytes"].sum()) if files.height else 0
    return facts

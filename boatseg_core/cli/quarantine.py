"""``boatseg quarantine``: files that were refused."""

from __future__ import annotations

import json

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import (
    current_settings,
    home_option,
    is_empty,
    json_option,
    nothing_here,
    open_lake,
)


@click.group()
def quarantine() -> None:
    """Files that were refused."""


@quarantine.command("list")
@click.option("--reason", help="Only files refused for this reason.")
@json_option
@home_option
def list_(reason: str | None, as_json: bool) -> None:
    """List the refused files and what is wrong with them."""
    import polars as pl

    settings = current_settings()
    lake = open_lake(settings)
    columns = ["batch_id", "source", "path", "reason", "message", "size_bytes", "quarantined_at"]
    rows = lake.read("quarantine", columns).sort("batch_id", "source", "path")
    if reason is not None:
        rows = rows.filter(pl.col("reason") == reason)
    if as_json:
        click.echo(json.dumps(rows.to_dicts(), indent=2, default=str))
        return
    if is_empty(lake):
        screen.note(nothing_here(settings))
        return
    if rows.is_empty():
        screen.note("no file was refused" + (f" for the reason {reason}" if reason else ""))
        return
    screen.print_table(
        ("path", "reason", "what is wrong"),
        [
            (path, why, message.removeprefix(f"{path}: "))
            for path, why, message in rows.select("path", "reason", "message").iter_rows()
        ],
        fold=("path", "what is wrong"),
    )
    counts = dict(rows["reason"].value_counts().iter_rows())
    screen.note(f"{screen.counted(rows.height, 'file')}: {screen.listed(counts)}")

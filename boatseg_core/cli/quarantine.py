"""``boatseg quarantine``: files that were refused."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import (
    current_settings,
    filled_lake,
    home_option,
    is_empty,
    json_option,
    nothing_here,
    open_lake,
)

if TYPE_CHECKING:
    import polars as pl

    from boatseg_core.config import Settings
    from boatseg_core.ingest.quarantine import Retried
    from boatseg_core.lake import Lake

F = TypeVar("F", bound=Callable[..., Any])


def _filters(command: F) -> F:
    """Add the options that choose refused files."""
    for option in (
        click.option(
            "--open",
            "only_open",
            is_flag=True,
            help="Only files whose image has not arrived since in a newer version.",
        ),
        click.option(
            "--path",
            "paths",
            multiple=True,
            metavar="PATTERN",
            help="Only this path, or what matches it (*, ?); repeatable.",
        ),
        click.option(
            "--batch", "batches", multiple=True, metavar="ID", help="Only this batch; repeatable."
        ),
        click.option(
            "--reason", "reasons", multiple=True, help="Only files refused for it; repeatable."
        ),
    ):
        command = option(command)
    return command


@click.group()
def quarantine() -> None:
    """Files that were refused."""


@quarantine.command("list")
@_filters
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV for programs.")
@json_option
@home_option
def list_(as_csv: bool, as_json: bool, **chosen: Any) -> None:
    """List the refused files and what is wrong with them."""
    from boatseg_core.ingest.quarantine import refused

    settings = current_settings()
    lake = open_lake(settings)
    rows = refused(lake, **chosen)
    if as_json or as_csv:
        _for_programs(rows, as_csv=as_csv)
        return
    if is_empty(lake):
        screen.note(nothing_here(settings))
        return
    if rows.is_empty():
        screen.note(_none(chosen))
        return
    columns = {
        "path": rows["path"],
        "reason": rows["reason"],
        "what is wrong": [
            message.removeprefix(f"{path}: ")
            for path, message in rows.select("path", "message").iter_rows()
        ],
        "first bytes": [(head or b"")[:8].hex(" ") or None for head in rows["head"]],
    }
    if rows["replaced_in"].null_count() < rows.height:
        columns["arrived since in"] = rows["replaced_in"]
    screen.print_table(
        tuple(columns), zip(*columns.values(), strict=True), fold=("path", "what is wrong")
    )
    counts = dict(rows["reason"].value_counts().iter_rows())
    screen.note(f"{screen.counted(rows.height, 'file')}: {screen.listed(counts)}")


@quarantine.command()
@_filters
@json_option
@home_option
def retry(as_json: bool, **chosen: Any) -> None:
    """Read refused files again, now: after a bound was raised or a disk has come back.

    A file is read again with its whole batch, and the batch is brought up to gold. A file that was
    repaired in place is a new file: boatseg ingest takes it.
    """
    from boatseg_core.dataset.gate import BrokenBatch, in_one
    from boatseg_core.ingest.quarantine import refused
    from boatseg_core.ingest.quarantine import retry as read_again

    settings = current_settings()
    lake = filled_lake(settings)
    rows = refused(lake, **chosen)
    broken: dict[str, str] = {}
    with screen.progress() as bar:
        task = bar.add_task("reading", total=rows["batch_id"].n_unique())
        done = read_again(
            lake, settings, rows, each=lambda b: bar.update(task, description=b, advance=1)
        )
        # Where no file was let in, gold is what it was.
        for batch in sorted({e.batch_id for e in done if e.read and e.reason is None}):
            bar.update(task, description=f"{batch} to gold")
            try:
                _finish(lake, batch, settings)
            except BrokenBatch as error:  # the others go on
                broken[batch] = str(error)
    if as_json:
        click.echo(json.dumps([vars(entry) for entry in done], indent=2))
    elif done:
        _say(done)
    else:
        screen.note(_none(chosen))
    if broken:
        raise in_one(broken)


@quarantine.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_filters
@json_option
@home_option
def export(folder: Path, as_json: bool, **chosen: Any) -> None:
    """Copy refused files into a new FOLDER, with a manifest that says what is wrong with each.

    Of files that are gone or changed since, the first bytes are there.
    """
    from boatseg_core.errors import InputError
    from boatseg_core.ingest.export import export as copy
    from boatseg_core.ingest.quarantine import refused

    settings = current_settings()
    lake = filled_lake(settings)
    rows = refused(lake, **chosen)
    if rows.is_empty():
        raise InputError(f"{_none(chosen)}: there is nothing to export")
    with screen.progress() as bar:
        task = bar.add_task("copying", total=rows.height)
        done = copy(lake, settings, rows, folder, each=lambda _: bar.advance(task))
    if as_json:
        facts = {"whole": done.whole, "heads": done.heads, "bytes": done.bytes}
        click.echo(json.dumps({"folder": str(done.folder), **facts}, indent=2))
        return
    screen.say(
        f"{screen.counted(done.whole, 'file')} ({screen.size(done.bytes)}) copied to {done.folder}"
        + (f", and the first bytes of {done.heads:,} that are gone" if done.heads else "")
    )
    screen.note("manifest.csv and manifest.json there say what is wrong with each")


def _finish(lake: Lake, batch: str, settings: Settings) -> None:
    """Bring a batch that was read again up to gold."""
    from boatseg_core.dataset.gate import check_batch
    from boatseg_core.dataset.gold import build_gold
    from boatseg_core.dataset.groups import group_batch
    from boatseg_core.ingest.quality import judge_batch
    from boatseg_core.labels.build import rasterize_batch

    judge_batch(lake, batch, settings)
    rasterize_batch(lake, batch, settings)
    group_batch(lake, batch, settings)
    check_batch(lake, batch, settings)
    build_gold(lake, batch)


def _say(done: list[Retried]) -> None:
    screen.print_table(
        ("path", "refused as", "now", ""),
        [(e.path, e.reason_before, _now(e), e.message.removeprefix(f"{e.path}: ")) for e in done],
        fold=("path", ""),
    )
    counts = Counter(map(_now, done))
    screen.note(f"{screen.counted(len(done), 'file')}: {screen.listed(dict(counts))}")


def _now(entry: Retried) -> str:
    return "taken" if entry.reason is None else entry.reason if entry.read else "not read"


def _for_programs(rows: pl.DataFrame, *, as_csv: bool) -> None:
    found = [row | {"head": (row["head"] or b"").hex(" ")} for row in rows.to_dicts()]
    if not as_csv:
        click.echo(json.dumps(found, indent=2, default=str))
        return
    writer = csv.DictWriter(sys.stdout, rows.columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)


def _none(chosen: dict[str, Any]) -> str:
    if reasons := chosen["reasons"]:
        return f"no file was refused for the reason {' or '.join(reasons)}"
    return "no such file was refused" if any(chosen.values()) else "no file was refused"

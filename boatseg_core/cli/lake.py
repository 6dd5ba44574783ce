"""``boatseg lake``: keep the tables small, fast and whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import current_settings, home_option, json_option, open_lake
from boatseg_core.errors import InputError

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.lake import Lake
    from boatseg_core.lake.doctor import Finding, Repaired

_EXAMPLES = 5


@click.group()
def lake() -> None:
    """Keep the tables small, fast and whole."""


@lake.command()
@click.argument("tables", nargs=-1)
@json_option
@home_option
def optimize(tables: tuple[str, ...], as_json: bool) -> None:
    """Compact small data files of TABLES (by default all) into larger ones."""
    from boatseg_core.lake.maintenance import optimize as run

    settings, opened, names = _open(tables)
    with _watched(names) as on_table:
        done = run(opened, names, small_bytes=settings.lake.small_bytes, on_table=on_table)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in done], indent=2))
        return
    screen.print_table(
        ("table", "files before", "files after", "rewritten", "note"),
        [
            (
                row.name,
                row.files_before,
                row.files_after,
                screen.size(row.bytes_rewritten) if row.bytes_rewritten else None,
                row.skipped,
            )
            for row in done
        ],
        right=("files before", "files after", "rewritten"),
        fold=("note",),
    )


@lake.command()
@click.argument("tables", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    help="Instead of the setting lake.keep_days. Files younger than a day are never deleted.",
)
@json_option
@home_option
def vacuum(tables: tuple[str, ...], dry_run: bool, keep_days: float | None, as_json: bool) -> None:
    """Delete data files of TABLES (by default all) that no version worth keeping needs.

    Versions of the last lake.keep_days stay readable, and every version of gold that a registered
    model was trained on.
    """
    from boatseg_core.lake.maintenance import vacuum as run

    settings, opened, names = _open(tables)
    with _watched(names) as on_table:
        done = run(
            opened,
            names,
            keep_days=settings.lake.keep_days if keep_days is None else keep_days,
            keep_versions=pins(settings),
            dry_run=dry_run,
            on_table=on_table,
        )
    if as_json:
        rows = [asdict(row) | {"dry_run": dry_run} for row in done]
        click.echo(json.dumps(rows, indent=2))
        return
    verb = "to delete" if dry_run else "deleted"
    screen.print_table(
        ("table", verb, "size", "kept", "size kept", "readable from version", "and, for models"),
        [
            (
                row.name,
                len(row.files),
                screen.size(row.bytes),
                row.kept_files,
                screen.size(row.kept_bytes),
                row.oldest,
                ", ".join(map(str, row.pinned)) or None,
            )
            for row in done
        ],
        right=(verb, "size", "kept", "size kept", "readable from version"),
    )
    files, volume = sum(len(row.files) for row in done), sum(row.bytes for row in done)
    if dry_run:
        for row in done:
            for path in row.files[:_EXAMPLES]:
                screen.say(f"  {row.name}/{path}", "dim")
            if len(row.files) > _EXAMPLES:
                screen.say(f"  and {len(row.files) - _EXAMPLES:,} more of {row.name}", "dim")
    would = "would be" if dry_run else "were" if files != 1 else "was"
    screen.note(f"{screen.counted(files, 'file')} ({screen.size(volume)}) {would} deleted")


@lake.command()
@click.argument("tables", nargs=-1)
@json_option
@home_option
def checkpoint(tables: tuple[str, ...], as_json: bool) -> None:
    """Write checkpoints of TABLES (by default all) and clean up log entries they stand for."""
    from boatseg_core.lake.maintenance import checkpoint as run

    settings, opened, names = _open(tables)
    with _watched(names) as on_table:
        done = run(
            opened,
            names,
            log_days=settings.lake.log_days,
            keep_versions=pins(settings),
            on_table=on_table,
        )
    if as_json:
        click.echo(json.dumps([asdict(row) for row in done], indent=2))
        return
    screen.print_table(
        ("table", "version", "checkpoint", "log entries", "cleaned up", "leftovers"),
        [
            (r.name, r.version, r.checkpoint, r.entries, r.cleaned, r.leftovers or None)
            for r in done
        ],
        right=("version", "checkpoint", "log entries", "cleaned up", "leftovers"),
    )


@lake.command()
@click.argument("tables", nargs=-1)
@click.option("--deep", is_flag=True, help="Read every data file and compare its checksums.")
@click.option("--repair", is_flag=True, help="Repair what can be repaired safely.")
@click.option(
    "--rewind",
    is_flag=True,
    help="Repair, and take tables whose log is broken in the middle back to their last whole "
    "version.",
)
@json_option
@home_option
@click.pass_context
def doctor(
    ctx: click.Context,
    tables: tuple[str, ...],
    deep: bool,
    repair: bool,
    rewind: bool,
    as_json: bool,
) -> None:
    """Look for damage in TABLES (by default all), and say how to repair it.

    A repair keeps a copy of whatever it takes away, below _doctor in the lake. Ingestion may run
    meanwhile: its commits wait until the repair is done. Only where the lake is in an object store
    nothing can make it wait: end it before a repair there. The exit code is 0 when rows are neither
    missing nor doubled nor unreadable (any more), else 3.
    """
    from boatseg_core.ingest.doctor import examine_all, repair_all

    settings = current_settings()
    opened = open_lake(settings)
    names = _names(tables)
    done: list[Repaired] = []
    with _watched(names) as on_table:
        found = examine_all(opened, names, deep=deep, on_table=on_table)
        if repair or rewind:
            unlocked = "nothing keeps others from writing here: let nothing else write meanwhile"
            done = repair_all(
                opened,
                settings,
                names,
                found,
                rewind=rewind,
                on_unlocked=lambda: screen.note(unlocked),
            )
            found = examine_all(opened, names, deep=deep)
    if as_json:
        report = {
            "findings": [asdict(f) | {"serious": f.serious} for f in found],
            "repaired": [
                asdict(r.finding) | {"done": r.done, "aside": list(r.aside)} for r in done
            ],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        _report(found, done, settings)
    ctx.exit(3 if any(finding.serious for finding in found) else 0)


def pins(settings: Settings) -> dict[str, set[int]]:
    """Versions that registered models were trained on, by table."""
    from boatseg_core.registry.pins import gold_versions

    return {"gold_dataset": gold_versions(settings)}


def _report(found: list[Finding], done: list[Repaired], settings: Settings) -> None:
    for repaired in done:
        screen.say(f"{repaired.finding.table}: {repaired.finding.what}", "bold")
        screen.say(f"  repaired: {repaired.done}", "green")
        if repaired.aside:
            kept = f"{settings.lake_root}/{repaired.aside[0]}"
            more = f" and {len(repaired.aside) - 1:,} more" if len(repaired.aside) > 1 else ""
            screen.say(f"  kept as {kept}{more}", "dim")
    for finding in found:
        screen.say(f"{finding.table}: {finding.what}", "bold red" if finding.serious else "bold")
        screen.say(f"  {finding.consequence}")
        screen.say(f"  {finding.advice}")
        if finding.remedy == "safe":
            screen.say("  `boatseg lake doctor --repair` does it.", "dim")
    if not found:
        screen.note("no damage found" if not done else "no damage is left")
    if any(finding.remedy == "run" for finding in found) and done:
        screen.note("run `boatseg ingest` now: it reads again what is missing")


def _open(tables: tuple[str, ...]) -> tuple[Settings, Lake, list[str]]:
    settings = current_settings()
    opened = open_lake(settings)
    return settings, opened, [name for name in _names(tables) if opened.exists(name)]


def _names(tables: tuple[str, ...]) -> list[str]:
    from boatseg_core.lake import TABLES

    unknown = [name for name in tables if name not in TABLES]
    if unknown:
        raise InputError(f"no table is called {unknown[0]!r}: there are {', '.join(TABLES)}")
    return list(tables or TABLES)


@contextmanager
def _watched(names: list[str]) -> Iterator[Callable[[str], None]]:
    """A bar of tables, for as long as the work takes."""
    with screen.progress() as bar:
        task: Any = bar.add_task("", total=len(names))
        begun = 0

        def on_table(name: str) -> None:
            nonlocal begun
            bar.update(task, description=name, completed=begun)
            begun += 1

        yield on_table

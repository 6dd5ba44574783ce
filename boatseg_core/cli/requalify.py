"""``boatseg requalify``: judge again what was measured once."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import current_settings, filled_lake, home_option, json_option

if TYPE_CHECKING:
    import polars as pl

    from boatseg_core.dataset.requalify import Rejudged, Requalified

_EXAMPLES = 20


@click.command()
@click.option(
    "--batch", "batches", multiple=True, metavar="ID", help="Only this batch; repeatable."
)
@click.option(
    "--all", "every", is_flag=True, help="All batches, also those whose verdicts are up to date."
)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@json_option
@home_option
def requalify(batches: tuple[str, ...], every: bool, dry_run: bool, as_json: bool) -> None:
    """Judge images again by the criteria in force, without reading a picture.

    Criteria are settings (quality.* of boatseg config). By default, the batches are judged whose
    verdicts are outdated. Gold is joined again only where an image now passes, or no longer does.
    """
    from boatseg_core.dataset.requalify import choose_batches
    from boatseg_core.dataset.requalify import requalify as judge_again
    from boatseg_core.errors import InputError

    if batches and every:
        raise InputError("--batch and --all exclude each other: name batches, or take all")
    settings = current_settings()
    lake = filled_lake(settings)
    chosen = choose_batches(lake, settings, batches=batches, every=every)
    with screen.progress() as bar:
        task = bar.add_task("judging", total=len(chosen))
        done = judge_again(
            lake,
            settings,
            chosen,
            dry_run=dry_run,
            each=lambda batch: bar.update(task, description=batch, advance=1),
        )
    if as_json:
        click.echo(json.dumps(_for_programs(done, dry_run=dry_run), indent=2))
    elif chosen:
        _say(done, dry_run=dry_run)
    else:
        screen.note("nothing to do: every verdict is that of the criteria in force")
    if done.broken:
        from boatseg_core.dataset.gate import in_one

        raise in_one(done.broken)


def _for_programs(done: Requalified, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "batches": [
            {
                "batch_id": entry.batch_id,
                "images": entry.images,
                "passed_before": entry.passed_before,
                "passed": entry.passed,
                "changes": entry.changes.to_dicts(),
            }
            for entry in done.batches
        ],
        "gold": {batch: {"before": b, "after": a} for batch, (b, a) in done.gold.items()},
        "broken": done.broken,
    }


def _say(done: Requalified, *, dry_run: bool) -> None:
    changed = [entry for entry in done.batches if not entry.changes.is_empty()]
    if changed:
        screen.print_table(
            ("batch", "images", "passed before", "passed now", "verdicts changed", "why"),
            [
                (e.batch_id, e.images, e.passed_before, e.passed, e.changes.height, _why(e))
                for e in changed
            ],
            right=("images", "passed before", "passed now", "verdicts changed"),
            fold=("why",),
        )
        _examples(changed)
    images = sum(entry.images for entry in done.batches)
    judged = f"{screen.counted(images, 'image')} in " + screen.counted(
        len(done.batches), "batch", "batches"
    )
    flipped = sum(entry.flipped for entry in done.batches)
    moved = f"{flipped:,} pass or fail now that did not before"
    if dry_run:
        screen.note(f"would judge {judged}: {moved}; nothing was written")
        return
    screen.note(f"judged {judged}: {moved}")
    for batch, (before, after) in done.gold.items():
        screen.note(f"gold of {batch} joined again: {before:,} rows before, {after:,} now")
    if not (done.gold or done.broken):
        screen.note("gold holds what passes: it was left alone")


def _why(entry: Rejudged) -> str:
    """Reasons that came and went: ``+3 too_flat, -1 blank``."""
    came: Counter[str] = Counter()
    went: Counter[str] = Counter()
    for row in entry.changes.iter_rows(named=True):
        before, now = set(row["reasons_before"] or ()), set(row["reasons"])
        came.update(now - before)
        went.update(before - now)
    return ", ".join(
        [f"+{number:,} {name}" for name, number in sorted(came.items())]
        + [f"-{number:,} {name}" for name, number in sorted(went.items())]
    )


def _examples(changed: list[Rejudged]) -> None:
    shown = 0
    for entry in changed:
        for row in _flipped(entry.changes).iter_rows(named=True):
            if shown == _EXAMPLES:
                screen.say("  and more: --json has them all", "dim")
                return
            now = "passes" if row["passed"] else f"fails: {', '.join(row['reasons'])}"
            before = ", ".join(row["reasons_before"])
            screen.say(f"  {row['image_id']} {now}" + (f" (before: {before})" if before else ""))
            shown += 1


def _flipped(changes: pl.DataFrame) -> pl.DataFrame:
    # Of images never judged before there is nothing to compare.
    return changes.filter(changes["passed"] != changes["passed_before"])

"""What ``boatseg ingest`` says when it is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from boatseg_core.cli import screen

if TYPE_CHECKING:
    from boatseg_core.cli.ingest_steps import Totals
    from boatseg_core.config import Settings
    from boatseg_core.ingest.seal import Sealed
    from boatseg_core.labels.ingest import LoadSummary
    from boatseg_core.lake import Lake

_EXAMPLES = 10


def summarise(
    settings: Settings, sealed: Sealed | None, labels: LoadSummary, totals: Totals, seconds: float
) -> None:
    """Print what was found and done, a line a subject."""
    lines = {"files": "none: they could not be listed" if sealed is None else _say_files(sealed)}
    if labels.files:
        rows, files = screen.counted(labels.rows, "row"), screen.counted(len(labels.files), "file")
        lines["labels"] = f"{rows} from {files}, for {screen.counted(labels.images, 'image')}"
    elif labels.skipped:
        lines["labels"] = f"nothing new ({screen.counted(labels.skipped, 'file')} known)"
    if totals.batches:
        lines |= _say_batches(settings, sealed, totals)
        rate = f"{totals.images / seconds:,.0f} images/s" if totals.images else ""
        lines["time"] = f"{seconds:.1f} s" + _tail(rate)
    width = max(map(len, lines))
    for name, text in lines.items():
        screen.say_pair(name.ljust(width), text)


def _say_files(sealed: Sealed) -> str:
    found, new = sealed.discovery, sum(sealed.batches.values())
    # Files sealed by the first of two looks are known to the second.
    known = found.known + found.new.height - new
    text = f"{new:,} new, {known:,} known, {found.unsettled:,} unsettled"
    return text + _tail(f"{found.ignored:,} of other kinds ignored" if found.ignored else "")


def _say_batches(settings: Settings, sealed: Sealed | None, totals: Totals) -> dict[str, str]:
    # Another process may have built what this one has sealed.
    new = len((sealed.batches if sealed else {}).keys() & set(totals.batches))
    built = f"{len(totals.batches):,} built, {new:,} of them new"
    lines = {"batches": built}
    # A batch that only has new labels is neither read nor judged.
    if totals.images or totals.refused:
        read = f"{totals.images:,} read ({screen.size(totals.bytes_read)})"
        lines["images"] = f"{read}, {len(totals.refused):,} quarantined"
    if totals.judged or totals.images:
        passed = f"{totals.passed:,} of {totals.judged:,} passed"
        lines["quality"] = passed + _tail(totals.say("unmet"))
    if totals.masks or totals.unlabelled:
        drawn = f"{screen.counted(totals.masks, 'image')} labelled, {totals.unlabelled:,} not"
        lines["masks"] = drawn
    boats = screen.counted(totals.boats, settings.labels.class_name)
    gold = f"{screen.counted(totals.gold, 'row')}, {boats}"
    lines["gold"] = gold + _tail(totals.say("splits"))
    if totals.say("left_out"):
        lines["not in gold"] = totals.say("left_out")
    return lines


def _tail(text: str) -> str:
    return f" ({text})" if text else ""


def explain(
    lake: Lake, settings: Settings, sealed: Sealed | None, labels: LoadSummary, totals: Totals
) -> None:
    """Say what went wrong, file by file and row by row, and what to do about it."""
    _examples(
        f"quarantined: {totals.say('quarantined')}",
        [text if path in text else f"{path}: {text}" for path, text in totals.refused],
        "boatseg quarantine list",
    )
    rows = _label_issues(lake, totals.batches) if totals.say("issues") else []
    _examples(f"label rows: {totals.say('issues')}", rows, "table label_issues")
    lost = _orphans(lake) if labels.files or totals.batches else []
    _examples("labels of images that never came", lost, "see the label file")
    for message in labels.refused.values():
        screen.note(message)
    if totals.kept:
        kept = screen.counted(totals.kept, "image")
        screen.note(f"{kept} kept from an earlier run: the file is gone or was changed since")
    if sealed is not None:
        _explain_files(settings, sealed, totals)


def _explain_files(settings: Settings, sealed: Sealed, totals: Totals) -> None:
    found = sealed.discovery
    for name in found.unnameable:
        screen.note(f"{name} is not named in UTF-8 and was left alone: rename it")
    for problem in found.unreadable:
        screen.note(f"{problem}: left out until it can be read")
    if found.unsettled:
        screen.note(
            f"{screen.counted(found.unsettled, 'file')} changed less than "
            f"{settings.landing.settle_seconds:g} s ago: run boatseg ingest again"
        )
    if not found.listed:
        screen.note(
            f"there are no images in {settings.images_location}: put some there, or name their "
            "folder with landing.images; `boatseg demo` brings its own"
        )
    elif not (totals.batches or totals.failed or found.unsettled):
        screen.note("nothing to do: every file is in the tables already")


def _examples(title: str, lines: list[str], elsewhere: str) -> None:
    if not lines:
        return
    screen.say("")
    screen.say(title, "yellow")
    for line in lines[:_EXAMPLES]:
        screen.say(f"  {line}")
    if len(lines) > _EXAMPLES:
        screen.say(f"  and {len(lines) - _EXAMPLES:,} more: {elsewhere}", "dim")


def _label_issues(lake: Lake, batches: Iterable[str]) -> list[str]:
    import polars as pl

    rows = lake.read("label_issues").filter(pl.col("batch_id").is_in(list(batches)))
    return [
        f"{row['source_file'] or 'labels'}{_line(row['line'])}: {row['image_id']}: {row['message']}"
        for row in rows.sort("source_file", "line", "image_id").iter_rows(named=True)
    ]


def _orphans(lake: Lake) -> list[str]:
    from boatseg_core.labels.build import orphans

    return [
        f"{row['source_file']}{_line(row['line'])}: {row['image_id']}"
        for row in orphans(lake).iter_rows(named=True)
    ]


def _line(number: int | None) -> str:
    return "" if number is None else f", line {number}"

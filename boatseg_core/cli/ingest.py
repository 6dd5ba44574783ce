"""``boatseg ingest``: from the landing folder to gold, without an orchestrator.

The steps are those of the Dagster assets; what is outstanding is read from the tables, so a run
that was cut off is taken up where it stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import current_settings, home_option, open_lake
from boatseg_core.errors import InputError

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.ingest.seal import Sealed
    from boatseg_core.labels.ingest import LoadSummary
    from boatseg_core.lake import Lake

_EXAMPLES = 10
# A longer settle time is meant for slow copies, which nobody wants to watch.
_PATIENCE = 10.0  # s


@dataclass
class Totals:
    """What was done to all batches together.

    Attributes:
        batches: Batches built, and why.
        images: Rows of ``raw_images`` written, in these batches.
        bytes_read: Their size.
        kept: Of these, rows kept although the file is gone or changed.
        passed: Images that meet every criterion of quality.
        refused: Path and message of each refused file.
        counts: Counters by what is counted: ``quarantined``, ``unmet``, ``issues``, ``splits``,
            ``left_out``.
        masks: Labelled images.
        unlabelled: Images without a label.
        gold: Rows of gold.
        boats: Objects in them.
    """

    batches: dict[str, str] = field(default_factory=dict)
    images: int = 0
    bytes_read: int = 0
    kept: int = 0
    passed: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    masks: int = 0
    unlabelled: int = 0
    gold: int = 0
    boats: int = 0

    def add(self, what: str, counts: dict[str, int]) -> None:
        """Add to the counters of something."""
        self.counts.setdefault(what, Counter()).update(counts)

    def say(self, what: str) -> str:
        """Write the counters of something, empty if there are none."""
        return screen.listed(self.counts.get(what, Counter()))


@click.command()
@click.option("--once", is_flag=True, help="Look once; do not wait for files still being written.")
@home_option
def ingest(once: bool) -> None:
    """Take in new images and labels: seal, read, judge, draw masks, group, join gold.

    Nothing is taken twice, and whatever an earlier run did not finish is finished. Files changed a
    moment ago may still be being written: they are waited for, or left with --once.
    """
    settings = current_settings()
    settings.paths.create()
    started = time.perf_counter()
    lake = open_lake(settings)
    labels, trouble = _load_labels(lake, settings)
    sealed = _seal(lake, settings, wait=not once)
    totals = _build(lake, settings)
    _summarise(settings, sealed, labels, totals, time.perf_counter() - started)
    _explain(lake, settings, sealed, labels, totals)
    if trouble is not None:
        raise trouble


def _load_labels(lake: Lake, settings: Settings) -> tuple[LoadSummary, InputError | None]:
    from boatseg_core.labels.ingest import LoadSummary, load

    with screen.err().status("reading label files"):
        try:
            return load(lake, settings), None
        except InputError as error:  # the images are taken all the same
            return LoadSummary(), error


def _seal(lake: Lake, settings: Settings, *, wait: bool) -> Sealed:
    from boatseg_core.ingest.seal import Sealed, seal

    with screen.err().status("listing files") as status:
        first = seal(lake, settings)
        settle = settings.landing.settle_seconds
        if not (wait and first.discovery.unsettled and settle <= _PATIENCE):
            return first
        status.update(f"waiting {settle:g} s for {first.discovery.unsettled:,} fresh files")
        time.sleep(settle + 0.05)
        second = seal(lake, settings)
    return Sealed(first.batches | second.batches, second.discovery)


def _build(lake: Lake, settings: Settings) -> Totals:
    from boatseg_core.dataset.staleness import outdated_batches
    from boatseg_core.ingest.reconcile import sealed_batches

    totals = Totals(batches=outdated_batches(lake, settings))
    sizes = sealed_batches(lake)
    files = sum(sizes[batch] for batch in totals.batches)
    with screen.progress(percent=True) as bar:
        task = bar.add_task("", total=files * len(_STEPS))
        for number, batch in enumerate(totals.batches, start=1):
            at = f"{batch} ({number:,}/{len(totals.batches):,})"
            for name, step in _STEPS.items():
                bar.update(task, description=f"{at} {name}")
                step(lake, batch, settings, totals)
                bar.advance(task, sizes[batch])
    return totals


def _read(lake: Lake, batch: str, settings: Settings, totals: Totals) -> None:
    from boatseg_core.ingest.bronze import ingest_batch

    done = ingest_batch(lake, batch, settings)
    totals.images += done.images
    totals.bytes_read += done.bytes_read
    totals.kept += done.kept
    totals.refused += done.refused
    totals.add("quarantined", done.quarantined)


def _judge(lake: Lake, batch: str, settings: Settings, totals: Totals) -> None:
    from boatseg_core.ingest.quality import judge_batch

    done = judge_batch(lake, batch, settings)
    totals.passed += done.passed
    totals.add("unmet", done.reasons)


def _draw(lake: Lake, batch: str, settings: Settings, totals: Totals) -> None:
    from boatseg_core.labels.build import rasterize_batch

    done = rasterize_batch(lake, batch, settings)
    totals.masks += done.masks
    totals.unlabelled += done.unlabelled
    totals.add("issues", done.issues)


def _group(lake: Lake, batch: str, settings: Settings, totals: Totals) -> None:
    from boatseg_core.dataset.groups import group_batch

    group_batch(lake, batch, settings)


def _join(lake: Lake, batch: str, settings: Settings, totals: Totals) -> None:
    from boatseg_core.dataset.gold import build_gold

    done = build_gold(lake, batch)
    totals.gold += done.rows
    totals.boats += done.boats
    totals.add("splits", done.splits)
    totals.add("left_out", done.left_out)


_STEPS: dict[str, Callable[[Lake, str, Settings, Totals], None]] = {
    "reading": _read,
    "judging": _judge,
    "drawing masks": _draw,
    "grouping": _group,
    "joining gold": _join,
}


def _summarise(
    settings: Settings, sealed: Sealed, labels: LoadSummary, totals: Totals, seconds: float
) -> None:
    found, new = sealed.discovery, sum(sealed.batches.values())
    # Files sealed by the first of two looks are known to the second.
    known = found.known + found.new.height - new
    lines = {
        "files": f"{new:,} new, {known:,} known, {found.unsettled:,} unsettled"
        + _tail(f"{found.ignored:,} of other kinds ignored" if found.ignored else "")
    }
    if labels.files:
        rows, files = screen.counted(labels.rows, "row"), screen.counted(len(labels.files), "file")
        lines["labels"] = f"{rows} from {files}, for {screen.counted(labels.images, 'image')}"
    elif labels.skipped:
        lines["labels"] = f"nothing new ({screen.counted(labels.skipped, 'file')} known)"
    if totals.batches:
        lines |= _say_batches(settings, sealed, totals)
        lines["time"] = f"{seconds:.1f} s ({totals.images / seconds:,.0f} images/s)"
    width = max(map(len, lines))
    for name, text in lines.items():
        screen.say_pair(name.ljust(width), text)


def _say_batches(settings: Settings, sealed: Sealed, totals: Totals) -> dict[str, str]:
    read = f"{totals.images:,} read"
    lines = {
        "batches": f"{len(totals.batches):,} built, {len(sealed.batches):,} of them new",
        "images": f"{read} ({screen.size(totals.bytes_read)}), {len(totals.refused):,} quarantined",
        "quality": f"{totals.passed:,} of {totals.images:,} passed" + _tail(totals.say("unmet")),
        "masks": f"{screen.counted(totals.masks, 'image')} labelled, {totals.unlabelled:,} not",
        "gold": f"{screen.counted(totals.gold, 'row')}, "
        + screen.counted(totals.boats, settings.labels.class_name)
        + _tail(totals.say("splits")),
    }
    if totals.say("left_out"):
        lines["not in gold"] = totals.say("left_out")
    return lines


def _tail(text: str) -> str:
    return f" ({text})" if text else ""


def _explain(
    lake: Lake, settings: Settings, sealed: Sealed, labels: LoadSummary, totals: Totals
) -> None:
    """Say what went wrong, file by file and row by row, and what to do about it."""
    found = sealed.discovery
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
    for name in found.unnameable:
        screen.note(f"{name} is not named in UTF-8 and was left alone: rename it")
    for problem in found.unreadable:
        screen.note(f"{problem}: left out until it can be read")
    if found.unsettled:
        screen.note(
            f"{screen.counted(found.unsettled, 'file')} changed less than "
            f"{settings.landing.settle_seconds:g} s ago: run boatseg ingest again"
        )
    if totals.kept:
        kept = screen.counted(totals.kept, "image")
        screen.note(f"{kept} kept from an earlier run: the file is gone or was changed since")
    if not found.listed:
        screen.note(
            f"there are no images in {settings.images_folder}: put some there, or name their "
            "folder with landing.images; `boatseg demo` brings its own"
        )
    elif not totals.batches and not found.unsettled:
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

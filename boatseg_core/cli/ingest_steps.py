"""The steps from files to gold, and what each outdated batch needs of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boatseg_core.cli import screen

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.errors import BoatsegError
    from boatseg_core.ingest.ahead import Reading
    from boatseg_core.lake import Lake


@dataclass
class Totals:
    """What was done to all batches together.

    Attributes:
        batches: Batches built, and why.
        images: Rows of ``raw_images`` written, in these batches.
        bytes_read: Their size.
        kept: Of these, rows kept although the file is gone or changed.
        judged: Images judged.
        passed: Of these, images that meet every criterion of quality.
        refused: Path and message of each refused file.
        counts: Counters by what is counted: ``quarantined``, ``unmet``, ``issues``, ``splits``,
            ``left_out``.
        masks: Labelled images.
        unlabelled: Images without a label.
        gold: Rows of gold.
        boats: Objects in them.
        broken: Batches that must not go into gold, and why.
        failed: Batches that could not be built, and why.
        trouble: What else went wrong: label files or a landing folder that cannot be read.
    """

    batches: dict[str, str] = field(default_factory=dict)
    images: int = 0
    bytes_read: int = 0
    kept: int = 0
    judged: int = 0
    passed: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    masks: int = 0
    unlabelled: int = 0
    gold: int = 0
    boats: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    failed: dict[str, BoatsegError] = field(default_factory=dict)
    trouble: list[BoatsegError] = field(default_factory=list)

    def gave_up(self, batch: str) -> bool:
        """Whether a batch was tried and will not be again by this command."""
        return batch in self.broken or batch in self.failed

    def add(self, what: str, counts: dict[str, int]) -> None:
        """Add to the counters of something."""
        self.counts.setdefault(what, Counter()).update(counts)

    def say(self, what: str) -> str:
        """Write the counters of something, empty if there are none."""
        return screen.listed(self.counts.get(what, Counter()))


@dataclass
class Work:
    """What the steps work on.

    Attributes:
        lake: The lake.
        settings: Settings in force.
        totals: What was done is added here.
        reading: The batches being read, if there are several.
    """

    lake: Lake
    settings: Settings
    totals: Totals
    reading: Reading | None = None


def _read(work: Work, batch: str) -> None:
    from boatseg_core.ingest.bronze import ingest_batch

    done, totals = ingest_batch(work.lake, batch, work.settings, reading=work.reading), work.totals
    totals.images += done.images
    totals.bytes_read += done.bytes_read
    totals.kept += done.kept
    totals.refused += done.refused
    totals.add("quarantined", done.quarantined)


def _judge(work: Work, batch: str) -> None:
    from boatseg_core.ingest.quality import judge_batch

    done, totals = judge_batch(work.lake, batch, work.settings), work.totals
    totals.judged += done.images
    totals.passed += done.passed
    totals.add("unmet", done.reasons)


def _draw(work: Work, batch: str) -> None:
    from boatseg_core.labels.build import rasterize_batch

    done, totals = rasterize_batch(work.lake, batch, work.settings), work.totals
    totals.masks += done.masks
    totals.unlabelled += done.unlabelled
    totals.add("issues", done.issues)


def _group(work: Work, batch: str) -> None:
    from boatseg_core.dataset.groups import group_batch

    group_batch(work.lake, batch, work.settings)


def _join(work: Work, batch: str) -> None:
    from boatseg_core.dataset.gate import check_batch
    from boatseg_core.dataset.gold import build_gold

    check_batch(work.lake, batch, work.settings)  # as Dagster's blocking checks do
    done, totals = build_gold(work.lake, batch), work.totals
    totals.gold += done.rows
    totals.boats += done.boats
    totals.add("splits", done.splits)
    totals.add("left_out", done.left_out)


Step = Callable[[Work, str], None]

STEPS: dict[str, Step] = {
    "reading": _read,
    "judging": _judge,
    "drawing masks": _draw,
    "grouping": _group,
    "joining gold": _join,
}
"""What is done to a batch, in this order."""

SHARES = {
    "reading": 0.85,
    "judging": 0.02,
    "drawing masks": 0.05,
    "grouping": 0.03,
    "joining gold": 0.05,
}
"""Roughly how the time of a batch is spread over the steps, for the progress bar."""


def steps_for(reasons: Collection[str]) -> list[str]:
    """Names of the steps that a batch needs: pictures are read only where they have to be."""
    from boatseg_core.dataset.differences import CRITERIA, DUPLICATES, LABELS, SPLIT
    from boatseg_core.dataset.staleness import INCOMPLETE, RETURNED, UNGROUPED, UNJUDGED

    if {INCOMPLETE, RETURNED} & set(reasons):
        return list(STEPS)
    step_of = {
        UNJUDGED: "judging",
        CRITERIA: "judging",
        DUPLICATES: "judging",
        LABELS: "drawing masks",
        UNGROUPED: "grouping",
        SPLIT: "grouping",
    }
    wanted = {step_of[reason] for reason in reasons if reason in step_of} | {"joining gold"}
    return [name for name in STEPS if name in wanted]


def to_read(outdated: Iterable[tuple[str, Collection[str]]]) -> list[str]:
    """Batches whose pictures have to be read, of those that are outdated for some reasons."""
    return [batch for batch, reasons in outdated if "reading" in steps_for(reasons)]


def build(
    work: Work,
    batch: str,
    reasons: Collection[str],
    each: Callable[[str, float], None] = lambda name, share: None,
) -> None:
    """Do what a batch needs.

    Args:
        work: What to work on.
        batch: The batch.
        reasons: Why it is outdated.
        each: Called with the name of a step before it, and the share of the batch done by then;
            at the end with an empty name and 1.

    Raises:
        BrokenBatch: The batch must not go into gold.
    """
    names, done = steps_for(reasons), 0.0
    whole = sum(SHARES[name] for name in names)
    for name in names:
        each(name, done / whole)
        STEPS[name](work, batch)
        done += SHARES[name]
    each("", 1.0)

"""Judge batches again after the criteria have changed, from what was measured once.

No picture is read to judge; only where an image now passes, or no longer does, the batch's gold is
joined again, which copies the pictures that belong there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.dataset.gate import BrokenBatch, check_batch
from boatseg_core.dataset.gold import IDENTITY, build_gold, expected_rows
from boatseg_core.errors import InputError
from boatseg_core.ingest.duplicates import duplicates
from boatseg_core.ingest.quality import outdated_verdicts, verdicts_of
from boatseg_core.lake import Lake
from boatseg_core.lake.snapshot import Snapshot

_KEYS = ("image_id", "batch_id")
_VERDICT = ("passed", "reasons")
_AT_ONCE = 50  # batches whose measurements are held in memory: some 10 MB


@dataclass(frozen=True)
class Rejudged:
    """What judging one batch again has changed.

    Attributes:
        batch_id: The batch.
        images: Images judged.
        passed_before: Images that passed by the verdicts before; ``None`` if there were none.
        passed: Images that pass now.
        changes: One row an image whose verdict differs: ``image_id``, ``passed_before``,
            ``passed``, ``reasons_before``, ``reasons``; of an image never judged the former are
            null.
    """

    batch_id: str
    images: int
    passed_before: int | None
    passed: int
    changes: pl.DataFrame

    @property
    def flipped(self) -> int:
        """Images that pass and did not, or the other way round."""
        return self.changes.filter(
            pl.col("passed").ne_missing(pl.col("passed_before"))  # null: was never judged
        ).height


@dataclass
class Requalified:
    """What judging again has changed altogether.

    Attributes:
        batches: One entry a judged batch, oldest first.
        gold: Rows of gold before and after, of the batches that were joined again.
        broken: Batches whose gold was left alone, and why.
    """

    batches: list[Rejudged] = field(default_factory=list)
    gold: dict[str, tuple[int, int]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def choose_batches(
    lake: Lake, settings: Settings, *, batches: Sequence[str] = (), every: bool = False
) -> list[str]:
    """Choose what to judge again.

    Args:
        lake: The lake.
        settings: Criteria.
        batches: Just these.
        every: All batches of bronze, also those whose verdicts are up to date.

    Returns:
        Batch ids, oldest first; by default those whose verdicts are outdated.

    Raises:
        InputError: A named batch is not in bronze.
    """
    known = lake.counts("raw_images")
    for batch in batches:
        if batch not in known:
            raise InputError(
                f"batch {batch} is not in raw_images, so there is nothing to judge: "
                'boatseg sql "SELECT DISTINCT batch_id FROM raw_images" lists those that are'
            )
    if batches:
        return sorted(set(batches))
    return sorted(known) if every else outdated_verdicts(lake, settings)


def requalify(
    lake: Lake,
    settings: Settings,
    batches: Sequence[str],
    *,
    dry_run: bool = False,
    each: Callable[[str], None] = lambda _: None,
) -> Requalified:
    """Judge batches again, and join gold again where it no longer holds what passes.

    A batch is judged by one atomic commit and joined by another. After a crash between the two,
    gold differs from the verdicts, which this, like the sensor, finds by comparing the tables.

    Args:
        lake: The lake.
        settings: Criteria.
        batches: Batches of bronze.
        dry_run: Only say what would change.
        each: Called with each batch as work on it begins.
    """
    done = Requalified()
    # Looked for once: what comes or goes meanwhile makes verdicts outdated, which is found.
    found = duplicates(lake)
    for first in range(0, len(batches), _AT_ONCE):
        part = batches[first : first + _AT_ONCE]
        stored = Snapshot(lake).scan("image_quality", part).select(*_KEYS, *_VERDICT).collect()
        verdicts = verdicts_of(lake, part, settings, found)
        for batch in part:
            each(batch)
            mine = pl.col("batch_id") == batch
            now = verdicts.filter(mine)
            if not dry_run:
                lake.replace_batch("image_quality", batch, now)
            done.batches.append(_compared(stored.filter(mine), now, batch))
    if dry_run:
        return done
    counts = lake.counts("gold_dataset")
    for batch in _gold_differs(lake, batches):
        each(batch)
        try:
            check_batch(lake, batch, settings)
        except BrokenBatch as error:  # as Dagster's checks do; the others go on
            done.broken[batch] = str(error)
            continue
        done.gold[batch] = (counts.get(batch, 0), build_gold(lake, batch).rows)
    return done


def _compared(before: pl.DataFrame, after: pl.DataFrame, batch_id: str) -> Rejudged:
    old = before.select(
        "image_id", passed_before="passed", reasons_before=pl.col("reasons").list.sort()
    )
    joined = after.select("image_id", "passed", pl.col("reasons").list.sort()).join(
        old, on="image_id", how="left"
    )
    differs = pl.col("passed").ne_missing(pl.col("passed_before")) | pl.col("reasons").ne_missing(
        pl.col("reasons_before")
    )
    return Rejudged(
        batch_id=batch_id,
        images=after.height,
        passed_before=None if before.is_empty() else int(before["passed"].sum()),
        passed=int(after["passed"].sum()),
        changes=joined.filter(differs)
        .sort("image_id")
        .select("image_id", "passed_before", "passed", "reasons_before", "reasons"),
    )


def _gold_differs(lake: Lake, batches: Sequence[str]) -> list[str]:
    """Batches whose gold does not hold the images that belong there."""
    mine = pl.col("batch_id").is_in(list(batches))
    expected = expected_rows(lake).filter(mine).collect()
    actual = Snapshot(lake).scan("gold_dataset", batches).select(IDENTITY).collect()
    differing = pl.concat(
        [
            expected.join(actual, on=IDENTITY, how="anti").select("batch_id"),
            actual.join(expected, on=IDENTITY, how="anti").select("batch_id"),
        ]
    )
    return sorted(differing["batch_id"].unique().to_list())

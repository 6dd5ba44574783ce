"""How much of a batch was rejected, and how much of it was there before."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from boatseg_core.lake import Lake
from boatseg_core.lake.snapshot import Snapshot


@dataclass(frozen=True)
class Rejection:
    """What became of the files of one batch.

    Attributes:
        batch_id: The batch.
        files: Files read: images and quarantined files.
        quarantined: Files that could not be read, by reason.
        unmet: Images by criterion they do not meet, duplicates left out.
        failed: Images that do not meet a criterion.
        duplicates: Images whose bytes are there under another name.
        images: Images judged.
    """

    batch_id: str
    files: int
    quarantined: dict[str, int]
    unmet: dict[str, int]
    failed: int
    duplicates: int
    images: int

    @property
    def share(self) -> float:
        """Share of the files that are no good picture, 0 to 1; 0 for an empty batch.

        A duplicate is none of them: its picture is as good as its original.
        """
        return (sum(self.quarantined.values()) + self.failed) / self.files if self.files else 0.0

    @property
    def duplicate_share(self) -> float:
        """Share of the images that are duplicates, 0 to 1."""
        return self.duplicates / self.images if self.images else 0.0


def rejections(lake: Lake, batch_id: str, *, back: int = 0) -> list[Rejection]:
    """Count what was rejected in a batch and in those before it.

    Args:
        lake: The lake.
        batch_id: The batch; it comes last in the answer.
        back: How many earlier batches to look at, at most.
    """
    snapshot = Snapshot(lake)
    known = set(snapshot.counts("image_quality")) | set(snapshot.counts("quarantine"))
    earlier = sorted(batch for batch in known if batch < batch_id)
    batches = [*earlier[max(0, len(earlier) - back) :], batch_id]
    verdicts = (
        snapshot.scan("image_quality", batches)
        .select("batch_id", "reasons", duplicate=pl.col("duplicate_of").is_not_null())
        .collect()
    )
    refused = snapshot.scan("quarantine", batches).select("batch_id", "reason").collect()
    return [_count(verdicts, refused, batch) for batch in batches]


def _count(verdicts: pl.DataFrame, refused: pl.DataFrame, batch_id: str) -> Rejection:
    mine = verdicts.filter(pl.col("batch_id") == batch_id)
    reasons = refused.filter(pl.col("batch_id") == batch_id)["reason"].value_counts(sort=True)
    quarantined = dict(reasons.iter_rows())
    # A duplicate has the reason "duplicate" as well as those of its picture.
    criteria = mine.with_columns(pl.col("reasons").list.len() - pl.col("duplicate").cast(pl.UInt32))
    unmet = mine["reasons"].explode().drop_nulls()
    counted = unmet.filter(unmet != "duplicate").value_counts(sort=True)
    return Rejection(
        batch_id=batch_id,
        files=mine.height + sum(quarantined.values()),
        quarantined=quarantined,
        unmet=dict(counted.iter_rows()),
        failed=criteria.filter(pl.col("reasons") > 0).height,
        duplicates=int(mine["duplicate"].sum()),
        images=mine.height,
    )

"""Are the labels of a batch like those before, and are the splits alike?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from boatseg_core.config.sections import History
from boatseg_core.lake import Lake
from boatseg_core.monitoring.history import Arrivals, Shift, value_shift

COUNT, AREA = "boat_count", "boat_area"
"""What is compared: objects per labelled image, and pixels per object."""

# Fewer groups say nothing about a split; a normal approximation needs some, too.
_LEAST_GROUPS = 10
_SIGMAS = 3.0


@dataclass(frozen=True)
class Balance:
    """How many images of a split show an object.

    Attributes:
        split: The split.
        images: Its images.
        groups: Their groups.
        share: Part of its images with an object.
        overall: Part of all images with an object.
        error: Standard error of ``share``, since images of one group are alike.
        judged: Whether it has enough groups to say anything.
        off: Whether the difference is larger than allowed, and than chance explains.
    """

    split: str
    images: int
    groups: int
    share: float
    overall: float
    error: float
    judged: bool
    off: bool


def label_arrivals(
    lake: Lake, batch_id: str, history: History, *, version: int | None = None
) -> tuple[Arrivals, Arrivals]:
    """Read counts and areas of a batch's objects, and of the batches sealed before it.

    Args:
        lake: The lake.
        batch_id: The batch.
        history: How far to look back.
        version: Delta version of ``rasterized_masks``.

    Returns:
        One row an image with :data:`COUNT`; one row an object with :data:`AREA`.
    """
    counts = lake.counts("rasterized_masks", version)
    before = sorted(b for b, rows in counts.items() if b < batch_id and rows)[-history.batches :]
    rows = (
        lake.scan("rasterized_masks", version)
        .filter(pl.col("batch_id").is_in([*before, batch_id]))
        .select("batch_id", "boat_count", "boat_areas")
        .collect()
    )
    objects = rows.filter(pl.col("boat_count") > 0).explode("boat_areas")
    mine = pl.col("batch_id") == batch_id
    images = rows.select("batch_id", pl.col("boat_count").alias(COUNT))
    areas = objects.select("batch_id", pl.col("boat_areas").alias(AREA))
    return (
        Arrivals(batch_id, images.filter(mine), images.filter(~mine)),
        Arrivals(batch_id, areas.filter(mine), areas.filter(~mine)),
    )


def label_shifts(images: Arrivals, objects: Arrivals, history: History) -> list[Shift]:
    """Compare objects per image and pixels per object with those of the batches before."""
    return [value_shift(images, COUNT, history), value_shift(objects, AREA, history)]


def split_balance(lake: Lake, max_gap: float, *, version: int | None = None) -> list[Balance]:
    """Compare the part of images with objects between the splits of gold.

    The standard error is that of a ratio of sums over groups (Cochran, "Sampling Techniques", 3rd
    ed. 1977, section 3.12): groups are drawn at random, their images are not.

    Args:
        lake: The lake.
        max_gap: Largest allowed difference from all images, 0 to 1.
        version: Delta version of ``gold_dataset``.

    Returns:
        One row a split, sorted; excluded images are left out.
    """
    groups = (
        lake.scan("gold_dataset", version)
        .filter(pl.col("split") != "excluded")
        .group_by("split", "group_id")
        .agg(images=pl.len().cast(pl.Int64), shown=(pl.col("boat_count") > 0).sum())
        .collect()
    )
    if groups.is_empty():
        return []
    overall = int(groups["shown"].sum()) / int(groups["images"].sum())
    found = []
    for (split,), rows in groups.sort("split").group_by("split", maintain_order=True):
        images = int(rows["images"].sum())
        share = int(rows["shown"].sum()) / images
        residuals = rows["shown"] - share * rows["images"]
        count = rows.height
        spread = float((residuals * residuals).sum()) * count / max(1, count - 1)
        error = math.sqrt(spread) / images
        judged = count >= _LEAST_GROUPS
        gap = abs(share - overall)
        off = judged and gap > max_gap and gap > _SIGMAS * error
        found.append(Balance(str(split), images, count, share, overall, error, judged, off))
    return found

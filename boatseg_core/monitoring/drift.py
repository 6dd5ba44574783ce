"""How far a scored batch lies from what the model was trained on."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import LakeError
from boatseg_core.lake import Lake

METRICS = ("brightness", "boat_area", "boat_count")
"""Columns that gold (the truth) and predictions (what the model found) both have."""


@dataclass(frozen=True)
class DriftRow:
    """One metric of one batch; the columns of the ``drift`` table.

    Attributes:
        batch_id: The batch.
        metric: One of :data:`METRICS`.
        statistic: Kolmogorov-Smirnov distance, 0 to 1.
        threshold: Distance above which the metric counts as drifted.
        drifted: Whether it did; never for a batch too small to judge.
        reference_mean: Mean over the training reference.
        batch_mean: Mean over the batch.
        images: Images of the batch that were compared.
        model_version: Version that scored the batch.
        gold_version: Delta version of gold the reference was taken from.
        at: When, in UTC.
    """

    batch_id: str
    metric: str
    statistic: float
    threshold: float
    drifted: bool
    reference_mean: float
    batch_mean: float
    images: int
    model_version: int
    gold_version: int
    at: dt.datetime


def ks_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Two-sample Kolmogorov-Smirnov distance: the largest gap between two empirical CDFs.

    Source: N. Smirnov, "Table for Estimating the Goodness of Fit of Empirical Distributions",
    Annals of Mathematical Statistics 19 (1948), p. 279. Ties are counted on both sides, so that
    whole numbers such as object counts compare as well.

    Args:
        first: Numbers of the first sample, at least one, none of them NaN.
        second: Numbers of the second sample, likewise.

    Returns:
        0 (the same distribution) to 1 (no overlap).
    """
    a, b = np.sort(np.ravel(first)), np.sort(np.ravel(second))
    points = np.concatenate((a, b))
    gap = (
        np.searchsorted(a, points, "right") / a.size - np.searchsorted(b, points, "right") / b.size
    )
    return float(np.abs(gap).max())


def measure_drift(
    lake: Lake, batch_id: str, settings: Settings, *, gold_version: int, model_version: int
) -> list[DriftRow]:
    """Compare a scored batch with the training reference and replace its rows of ``drift``.

    Args:
        lake: The lake.
        batch_id: The batch.
        settings: For ``drift.max_shift`` and ``drift.min_images``.
        gold_version: Delta version of gold the model was trained on.
        model_version: Version of the model that scored the batch.

    Returns:
        One row a metric, as written.

    Raises:
        LakeError: The batch has no prediction by that version, or gold has no training image.
    """
    batch = lake.read("predictions", ["model_version", *METRICS], batch_id=batch_id).filter(
        pl.col("model_version") == model_version
    )
    if batch.is_empty():
        raise LakeError(
            f"batch {batch_id} has no predictions by model version {model_version}: "
            "score it before its drift is measured"
        )
    reference = (
        lake.scan("gold_dataset", gold_version)
        .filter(pl.col("split") == "train")
        .select(METRICS)
        .collect()
    )
    if reference.is_empty():
        raise LakeError(
            f"gold_dataset at version {gold_version} has no training image to compare "
            f"batch {batch_id} with"
        )
    now = dt.datetime.now(dt.UTC)
    rows = []
    for metric in METRICS:
        ours = batch[metric].drop_nulls().cast(pl.Float64).to_numpy()
        theirs = reference[metric].drop_nulls().cast(pl.Float64).to_numpy()
        if not ours.size or not theirs.size:
            where = f"batch {batch_id}" if not ours.size else f"gold version {gold_version}"
            raise LakeError(f"no image of {where} has a {metric}: its drift cannot be measured")
        distance = ks_distance(ours, theirs)
        rows.append(
            DriftRow(
                batch_id=batch_id,
                metric=metric,
                statistic=distance,
                threshold=settings.drift.max_shift,
                # A few images lie far from any distribution by chance alone.
                drifted=ours.size >= settings.drift.min_images
                and distance > settings.drift.max_shift,
                reference_mean=float(theirs.mean()),
                batch_mean=float(ours.mean()),
                images=ours.size,
                model_version=model_version,
                gold_version=gold_version,
                at=now,
            )
        )
    lake.replace_batch("drift", batch_id, pl.DataFrame([asdict(row) for row in rows]))
    return rows

"""Checks of what arrived: complete, good enough, not there before, and like what came before.

Two of them block, since they speak of a broken batch: a file without its row, and a batch most of
which is rejected (``quality.broken_pass_rate``). It then stays out of gold, is asked for again ever
more rarely, and goes on by itself once its files or the criteria were put right. Everything else
warns: a batch may well be unlike the others and right.
"""

import math
from typing import Any

import dagster as dg
import polars as pl

from boatseg_core.cli.screen import counted
from boatseg_core.dataset.gate import is_broken, say_files, say_limit, say_rejected
from boatseg_core.gallery import spark
from boatseg_core.ingest.completeness import completeness
from boatseg_core.ingest.quality import DUPLICATE
from boatseg_core.monitoring.history import (
    VALUES,
    Shift,
    arrivals,
    mix_shifts,
    value_shifts,
)
from boatseg_core.monitoring.rejection import rejections
from boatseg_dagster.assets.bronze import raw_images
from boatseg_dagster.assets.silver import image_quality
from boatseg_dagster.metadata import markdown
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg

_SHOWN = 20
_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dg.asset_check(asset=raw_images, blocking=True, partitions_def=batches)
def every_file_is_accounted_for(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Every sealed file is in bronze or in quarantine, once, and nothing else is."""
    found = completeness(boatseg.lake(), context.partition_key)
    problems = found.problems
    return dg.AssetCheckResult(
        passed=not problems,
        severity=_ERROR,
        description=(
            f"{found.sealed} sealed = {found.images} images + {found.refused} quarantined"
            if not problems
            else say_files(found)
        ),
        metadata={
            "sealed": found.sealed,
            "images": found.images,
            "quarantined": found.refused,
            **_examples(problems),
        },
    )


@dg.asset_check(asset=image_quality, blocking=True, partitions_def=batches)
def rejected_share(context: dg.AssetCheckExecutionContext, boatseg: Boatseg) -> dg.AssetCheckResult:
    """Enough files of the batch are pictures that meet the quality criteria."""
    settings = boatseg.settings()
    quality, history = settings.quality, settings.history
    counted = rejections(boatseg.lake(), context.partition_key, back=history.batches)
    now = counted[-1]
    warn, error = 1 - quality.min_pass_rate, 1 - quality.broken_pass_rate
    broken = is_broken(now, settings)
    chart = spark.history(
        [batch.share for batch in counted], title="rejected share", limits=[warn, error]
    )
    return dg.AssetCheckResult(
        passed=now.share <= warn,
        severity=_ERROR if broken else _WARN,
        description=f"{say_rejected(now)}; {say_limit(now, settings)}"
        if broken
        else f"{say_rejected(now)}, up to {warn:.1%} are normal",
        metadata={
            "rejected_share": now.share,
            "files": now.files,
            "quarantined": now.quarantined,
            "unmet_criteria": now.unmet,
            "history": markdown(chart),
        },
    )


@dg.asset_check(asset=image_quality, partitions_def=batches)
def duplicates_are_few(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Few images of the batch are there under another name."""
    lake, allowed = boatseg.lake(), boatseg.settings().quality.max_duplicate_share
    rows = lake.read("image_quality", ["image_id", "duplicate_of"], batch_id=context.partition_key)
    linked = rows.filter(pl.col("duplicate_of").is_not_null()).sort("image_id")
    share = linked.height / max(1, rows.height)
    return dg.AssetCheckResult(
        passed=share <= allowed,
        severity=_WARN,
        description=f"{linked.height} of {rows.height} images ({share:.1%}) have the bytes of "
        f"another image, {allowed:.1%} are allowed; they are kept and not trained on twice",
        metadata={
            f"{DUPLICATE}_share": share,
            f"{DUPLICATE}s": linked.height,
            **_examples([f"{image} = {original}" for image, original in linked.iter_rows()]),
        },
    )


@dg.asset_check(asset=image_quality, partitions_def=batches)
def sizes_and_formats_are_usual(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """The mix of picture sizes, file formats and pixel modes is that of earlier batches."""
    history = boatseg.settings().history
    found = arrivals(boatseg.lake(), context.partition_key, history)
    shifts = mix_shifts(found, history)
    return compared(
        shifts,
        found.batches,
        {s.what: spark.shares(s.shares, title=f"share of images by {s.what}") for s in shifts},
    )


@dg.asset_check(asset=image_quality, partitions_def=batches)
def brightness_and_contrast_are_usual(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Brightness and contrast are distributed as in earlier batches."""
    history = boatseg.settings().history
    found = arrivals(boatseg.lake(), context.partition_key, history)
    charts = {
        what: spark.distributions(
            found.batch[what].drop_nulls(),
            found.earlier[what].drop_nulls(),
            title=what,
            low=0,
            high=high,
        )
        for what, high in zip(VALUES, (255, 127.5), strict=True)
    }
    return compared(value_shifts(found, history), found.batches, charts)


def compared(shifts: list[Shift], batches: int, charts: dict[str, str]) -> dg.AssetCheckResult:
    """Report comparisons of a batch with the batches before it."""
    shifted = [shift for shift in shifts if shift.shifted]
    if shifted:
        text = "; ".join(
            f"{s.what} is {s.distance:.2f} away from the batches before, up to {s.threshold:.2f} "
            "is usual"
            for s in shifted
        )
    elif all(shift.judged for shift in shifts):
        text = f"as in the {batches} batches before"
    else:
        text = (
            f"not judged, too few: {counted(shifts[0].images, 'image')} beside "
            f"{shifts[0].history_images:,} of {counted(batches, 'batch', 'batches')} before"
        )
    numbers: dict[str, Any] = {}
    for s in shifts:
        numbers[f"distance/{s.what}"] = round(s.distance, 4)
        numbers[f"threshold/{s.what}"] = s.threshold
        numbers[f"p_value/{s.what}"] = float(f"{s.p_value:.3g}")
        if s.judged and not math.isnan(s.means[0]):
            numbers[f"mean/{s.what}"], numbers[f"mean_before/{s.what}"] = s.means
    return dg.AssetCheckResult(
        passed=not shifted,
        severity=_WARN,
        description=text,
        metadata={
            "images": shifts[0].images,
            "images_before": shifts[0].history_images,
            "batches_before": batches,
            **numbers,
            **{f"chart/{what}": markdown(chart) for what, chart in charts.items()},
        },
    )


def _examples(problems: list[str]) -> dict[str, Any]:
    return {"examples": problems[:_SHOWN]} if problems else {}


image_checks = [
    every_file_is_accounted_for,
    rejected_share,
    duplicates_are_few,
    sizes_and_formats_are_usual,
    brightness_and_contrast_are_usual,
]

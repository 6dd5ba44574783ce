"""Checks of the tables up to gold."""

from typing import Any

import dagster as dg

from boatseg_core.dataset.audit import incomplete_gold_rows, leaking_groups
from boatseg_core.dataset.staleness import resplit_batches
from boatseg_core.ingest.reconcile import missing_files
from boatseg_core.labels.build import orphans
from boatseg_dagster.assets.bronze import raw_images, raw_masks
from boatseg_dagster.assets.gold import gold_dataset
from boatseg_dagster.assets.silver import image_quality, rasterized_masks
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg

_SHOWN = 20


def _result(
    problems: list[str], what: str, *, severity: dg.AssetCheckSeverity, **metadata: Any
) -> dg.AssetCheckResult:
    shown = {"examples": problems[:_SHOWN]} if problems else {}
    return dg.AssetCheckResult(
        passed=not problems,
        severity=severity,
        description=f"{len(problems)} {what}",
        metadata={**shown, **metadata},
    )


@dg.asset_check(asset=raw_images, blocking=True, partitions_def=batches)
def every_file_is_accounted_for(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Every sealed file is in bronze or in quarantine."""
    missing = missing_files(boatseg.lake(), context.partition_key)
    return _result(
        missing,
        "sealed files are neither in raw_images nor in quarantine",
        severity=dg.AssetCheckSeverity.ERROR,
    )


@dg.asset_check(asset=image_quality, partitions_def=batches)
def quality_pass_rate(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Enough images of the batch meet the quality criteria."""
    verdicts = boatseg.lake().read("image_quality", ["passed"], batch_id=context.partition_key)
    rate = float(verdicts["passed"].mean() or 0.0) if verdicts.height else 1.0  # type: ignore[arg-type]
    wanted = boatseg.settings().quality.min_pass_rate
    return dg.AssetCheckResult(
        passed=rate >= wanted,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rate:.1%} of {verdicts.height} images passed, at least {wanted:.1%} wanted",
        metadata={"pass_rate": rate, "images": verdicts.height},
    )


@dg.asset_check(asset=raw_masks)
def labels_have_images(boatseg: Boatseg) -> dg.AssetCheckResult:
    """Every labelled image has arrived."""
    waiting = orphans(boatseg.lake())
    problems = [
        f"{row['image_id']} ({row['source_file']} line {row['line']})"
        for row in waiting.head(_SHOWN).iter_rows(named=True)
    ]
    return dg.AssetCheckResult(
        passed=waiting.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{waiting.height} labelled images have not arrived",
        metadata={"examples": problems, "images": waiting.height},
    )


@dg.asset_check(asset=rasterized_masks, partitions_def=batches)
def mask_rows_are_valid(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Every mask row of the batch could be drawn."""
    issues = boatseg.lake().read("label_issues", batch_id=context.partition_key)
    problems = [
        f"{row['source_file']} line {row['line']}, {row['image_id']}: {row['message']}"
        for row in issues.sort("source_file", "line").iter_rows(named=True)
    ]
    return _result(problems, "mask rows have an issue", severity=dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=gold_dataset, blocking=True, partitions_def=batches)
def gold_rows_are_complete(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """No gold row is without image or mask."""
    return _result(
        incomplete_gold_rows(boatseg.lake(), context.partition_key),
        "gold rows have no image or no mask",
        severity=dg.AssetCheckSeverity.ERROR,
    )


@dg.asset_check(asset=gold_dataset, blocking=True, partitions_def=batches)
def no_group_in_two_splits(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """No group of overlapping images is on both sides of a split."""
    lake = boatseg.lake()
    # While changed split settings travel through the batches, some are ahead of others.
    moving = bool(resplit_batches(lake, boatseg.settings()))
    return _result(
        leaking_groups(lake),
        "groups of overlapping images are in more than one split",
        severity=dg.AssetCheckSeverity.WARN if moving else dg.AssetCheckSeverity.ERROR,
        resplitting=moving,
    )


data_checks = [
    every_file_is_accounted_for,
    quality_pass_rate,
    labels_have_images,
    mask_rows_are_valid,
    gold_rows_are_complete,
    no_group_in_two_splits,
]

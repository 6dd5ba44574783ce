"""Checks of labels, masks and gold."""

from typing import Any

import dagster as dg

from boatseg_core.dataset.audit import incomplete_gold_rows, leaking_groups
from boatseg_core.dataset.staleness import resplit_batches
from boatseg_core.labels.build import orphans
from boatseg_dagster.assets.bronze import raw_masks
from boatseg_dagster.assets.gold import gold_dataset
from boatseg_dagster.assets.silver import rasterized_masks
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
    labels_have_images,
    mask_rows_are_valid,
    gold_rows_are_complete,
    no_group_in_two_splits,
]

"""Checks on groups and splits, asked of the pixels rather than of the tables."""

import dagster as dg

from boatseg_core.dataset.audit import overlapping_splits
from boatseg_dagster.assets.silver import image_groups
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg

_SHOWN = 20


@dg.asset_check(asset=image_groups, partitions_def=batches)
def no_pixels_in_two_splits(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """No image of the batch overlaps an image of another split, whatever their groups say."""
    pairs = overlapping_splits(boatseg.lake(), context.partition_key)
    shown = pairs.head(_SHOWN).iter_rows(named=True)
    return dg.AssetCheckResult(
        passed=pairs.is_empty(),
        # Groups and splits that training has seen are kept: a person decides what to leave out.
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{pairs.height} pairs of images share pixels across splits",
        metadata={
            "pairs": pairs.height,
            "examples": [
                f"{row['image_id']} ({row['split']}) and {row['image_id_2']} ({row['split_2']})"
                for row in shown
            ],
        },
    )


group_checks = [no_pixels_in_two_splits]

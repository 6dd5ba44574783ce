"""Silver: judged, drawn, grouped."""

from typing import Any

import dagster as dg

from boatseg_core.dataset.groups import group_batch
from boatseg_core.ingest.quality import criteria_hash, judge_batch
from boatseg_core.labels.build import rasterize_batch
from boatseg_dagster.assets.bronze import raw_images, raw_masks
from boatseg_dagster.metadata import asset_args, pinned, written
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg


@dg.asset(partitions_def=batches, deps=[raw_images], **asset_args("silver", table="image_quality"))
def image_quality(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Measurements and the verdict per image, judged by the criteria in the settings."""
    lake, settings = boatseg.lake(), boatseg.settings()
    summary = judge_batch(
        lake,
        context.partition_key,
        settings,
        version=pinned(context, "raw_images").get("raw_images"),
    )
    return written(
        lake,
        "image_quality",
        summary.version,
        summary.images,
        passed=summary.passed,
        pass_rate=summary.pass_rate,
        unmet_criteria=summary.reasons,
        criteria=criteria_hash(settings.quality),
    )


@dg.asset(
    partitions_def=batches,
    deps=[raw_images, raw_masks],
    **asset_args("silver", table="rasterized_masks"),
)
def rasterized_masks(
    context: dg.AssetExecutionContext, boatseg: Boatseg
) -> dg.MaterializeResult[Any]:
    """One lossless mask picture per labelled image, from its newest mask rows.

    Rows that cannot be used are in the table ``label_issues`` with the reason.
    """
    lake = boatseg.lake()
    summary = rasterize_batch(
        lake,
        context.partition_key,
        boatseg.settings(),
        versions=pinned(context, "raw_images"),
    )
    return written(
        lake,
        "rasterized_masks",
        summary.version,
        summary.masks,
        boats=summary.boats,
        unlabelled_images=summary.unlabelled,
        rejected_rows=summary.rejected,
    )


@dg.asset(partitions_def=batches, deps=[raw_images], **asset_args("silver", table="image_groups"))
def image_groups(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Images that show the same place, found from their pixels, and the split they share."""
    lake = boatseg.lake()
    summary = group_batch(lake, context.partition_key, boatseg.settings())
    return written(
        lake,
        "image_groups",
        summary.version,
        summary.images,
        groups=summary.groups,
        excluded_images=summary.excluded,
    )

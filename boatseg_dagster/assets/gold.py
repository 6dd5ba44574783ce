"""Gold: what training reads."""

from typing import Any

import dagster as dg

from boatseg_core.dataset.gold import build_gold
from boatseg_core.gallery.sheets import masks_sheet
from boatseg_dagster.assets.bronze import raw_images
from boatseg_dagster.assets.silver import image_groups, image_quality, rasterized_masks
from boatseg_dagster.metadata import asset_args, gold_lineage, markdown, pinned, written
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg


@dg.asset(
    partitions_def=batches,
    deps=[raw_images, image_quality, rasterized_masks, image_groups],
    **asset_args("gold", "image", table="gold_dataset"),
)
def gold_dataset(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Image and mask side by side, for labelled images that passed quality, with their split."""
    batch, lake = context.partition_key, boatseg.lake()
    upstream = ("raw_images", "image_quality", "rasterized_masks", "image_groups")
    summary = build_gold(lake, batch, versions=pinned(context, *upstream))
    return written(
        lake,
        "gold_dataset",
        summary.version,
        summary.rows,
        boats=summary.boats,
        splits=summary.splits,
        left_out=summary.left_out,
        pictures=markdown(masks_sheet(lake, batch, version=summary.version)),
        **gold_lineage(),
    )

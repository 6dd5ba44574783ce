"""Gold: what training reads."""

from typing import Any

import dagster as dg

from boatseg_core.dataset.gate import check_batch
from boatseg_core.dataset.gold import build_gold
from boatseg_core.gallery.batches import write_batch_page
from boatseg_core.gallery.sheets import masks_sheet
from boatseg_dagster.assets.bronze import raw_images
from boatseg_dagster.assets.silver import image_groups, image_quality, rasterized_masks
from boatseg_dagster.metadata import asset_args, markdown, pinned, written
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg


@dg.asset(
    partitions_def=batches,
    deps=[raw_images, image_quality, rasterized_masks, image_groups],
    **asset_args("gold", "image", table="gold_dataset"),
)
def gold_dataset(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Image and mask side by side, for labelled images that passed quality, with their split."""
    batch, lake, settings = context.partition_key, boatseg.lake(), boatseg.settings()
    # The checks that block run beside the assets they are of: not with new labels, or gold alone.
    check_batch(lake, batch, settings)
    upstream = ("raw_images", "image_quality", "rasterized_masks", "image_groups")
    versions = pinned(context, *upstream)
    # A run that only judged again: where the same images pass, gold is what it was.
    summary = build_gold(
        lake, batch, versions=versions, keep_same=set(versions) == {"image_quality"}
    )
    page = write_batch_page(
        lake,
        batch,
        settings.paths.reports / "batches",
        version=summary.version,
        class_name=settings.labels.class_name,
    )
    return written(
        lake,
        "gold_dataset",
        summary.version,
        summary.rows,
        boats=summary.boats,
        splits=summary.splits,
        left_out=summary.left_out,
        page=None if page is None else dg.MetadataValue.path(page),
        pictures=markdown(masks_sheet(lake, batch, version=summary.version)),
    )

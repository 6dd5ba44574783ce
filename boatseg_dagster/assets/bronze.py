"""Bronze: what arrived, as it arrived."""

import time
from typing import Any

import dagster as dg

from boatseg_core.gallery.sheets import images_sheet
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.labels.ingest import load
from boatseg_dagster.metadata import asset_args, markdown, written
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg

_SHOWN = 20


@dg.asset(partitions_def=batches, **asset_args("bronze", "image", table="raw_images"))
def raw_images(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Every readable image of a sealed batch: its bytes, and what was measured on them.

    Files that cannot be read are in the table ``quarantine`` with the reason.
    """
    batch, lake = context.partition_key, boatseg.lake()
    started = time.perf_counter()
    summary = ingest_batch(lake, batch, boatseg.settings())
    seconds = time.perf_counter() - started
    for path, message in summary.refused:
        context.log.warning(f"quarantined {path}: {message}")
    return written(
        lake,
        "raw_images",
        summary.version,
        summary.images,
        sealed_files=summary.sealed,
        quarantined=sum(summary.quarantined.values()),
        quarantine_reasons=summary.quarantined,
        quarantine_examples=[f"{path}: {message}" for path, message in summary.refused[:_SHOWN]],
        quarantine_list=markdown(
            f"`boatseg quarantine list --batch {batch}`" if summary.refused else ""
        ),
        new_versions=summary.new_versions,
        kept=summary.kept or None,
        megabytes=round(summary.bytes_read / 1e6, 3),
        megabytes_per_second=round(summary.bytes_read / 1e6 / seconds, 3),
        images_per_second=round(summary.images / seconds, 1),
        pictures=markdown(images_sheet(lake, batch, version=summary.version)),
    )


@dg.asset(**asset_args("bronze", "csv", table="raw_masks"))
def raw_masks(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Every row of every label file, exactly once, with its file and line."""
    lake = boatseg.lake()
    summary = load(lake, boatseg.settings())
    for file, message in summary.refused.items():
        context.log.warning(f"refused {file}: {message}")
    return written(
        lake,
        "raw_masks",
        lake.create("raw_masks").version(),
        summary.rows,
        files=summary.files,
        refused_files=summary.refused,
        images=summary.images,
        label_version=summary.label_version,
    )

"""Serving: what the model in production says of the images."""

from typing import Any

import dagster as dg

from boatseg_core.gallery.sheets import predictions_sheet
from boatseg_core.inference.backlog import scored_by
from boatseg_core.inference.batch import score_batch
from boatseg_core.monitoring.drift import measure_drift
from boatseg_core.registry.load import load_pyfunc
from boatseg_core.registry.lookup import checked, resolve
from boatseg_dagster.assets.bronze import raw_images
from boatseg_dagster.assets.model import trained_model
from boatseg_dagster.assets.silver import image_quality
from boatseg_dagster.metadata import asset_args, markdown, pinned, written
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg


@dg.asset(
    partitions_def=batches,
    deps=[raw_images, image_quality, trained_model],
    **asset_args("serving", "onnx", table="predictions"),
)
def batch_predictions(
    context: dg.AssetExecutionContext, boatseg: Boatseg
) -> dg.MaterializeResult[Any]:
    """Objects found by the model in production, in every image of the batch that passed quality."""
    batch, lake = context.partition_key, boatseg.lake()
    model = load_pyfunc(boatseg.settings())
    versions = pinned(context, "raw_images", "image_quality")
    scored = score_batch(
        lake,
        batch,
        model.predictor,
        model_name=model.name,
        model_version=model.version,
        raw_version=versions.get("raw_images"),
        quality_version=versions.get("image_quality"),
    )
    for image_id, message in scored.unreadable.items():
        context.log.warning(f"{image_id} could not be scored: {message}")
    return written(
        lake,
        "predictions",
        scored.version,
        scored.images,
        model=f"{model.name} version {model.version}",
        boats=scored.boat_count,
        images_with_boats=scored.boat_images,
        skipped_for_quality=scored.skipped,
        pictures=markdown(predictions_sheet(lake, batch, version=scored.version)),
    )


@dg.asset(
    partitions_def=batches,
    deps=[batch_predictions],
    **asset_args("serving", table="drift"),
)
def drift(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Distance of a scored batch from what the model was trained on, metric by metric."""
    lake, settings, batch = boatseg.lake(), boatseg.settings(), context.partition_key
    version = scored_by(lake, batch)
    model = checked(resolve(settings, version))
    if model.gold_version is None:
        raise dg.Failure(f"version {version} does not say what it was trained on")
    rows = measure_drift(
        lake, batch, settings, gold_version=model.gold_version, model_version=version
    )
    return written(
        lake,
        "drift",
        lake.table("drift").version(),
        len(rows),
        model_version=version,
        reference_gold_version=model.gold_version,
        drifted=[row.metric for row in rows if row.drifted],
        **{f"distance/{row.metric}": row.statistic for row in rows},
    )

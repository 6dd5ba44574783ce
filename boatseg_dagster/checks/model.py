"""Checks of the model and of what it says."""

import dagster as dg

from boatseg_core.inference.batch import missing
from boatseg_core.registry.lookup import checked, resolve
from boatseg_dagster.assets.model import trained_model
from boatseg_dagster.assets.serving import batch_predictions, drift
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg


@dg.asset_check(asset=trained_model)
def beats_predicting_nothing(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """The model just trained is better than one that predicts nothing."""
    records = context.instance.fetch_materializations(trained_model.key, limit=1).records
    event = records[0].asset_materialization if records else None
    if event is None:
        raise dg.Failure("trained_model was never materialized")
    version = str(event.metadata["model_version"].value)
    found = checked(resolve(boatseg.settings(), version)).metrics
    metrics = {name: float("nan") if value is None else value for name, value in found.items()}
    score, floor = metrics["per_image_iou"], metrics["floor_per_image_iou"]
    return dg.AssetCheckResult(
        passed=score > floor and metrics["boat_iou"] > 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            f"version {version}: per-image IoU {score:.3f} on test, predicting nothing scores "
            f"{floor:.3f}; IoU on images with objects {metrics['boat_iou']:.3f}"
        ),
        metadata=metrics,
    )


@dg.asset_check(asset=batch_predictions, blocking=True, partitions_def=batches)
def predictions_cover_the_batch(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Every image that passed quality has a row of predictions."""
    lost = missing(boatseg.lake(), context.partition_key)["image_id"].to_list()
    return dg.AssetCheckResult(
        passed=not lost,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(lost)} images that passed quality have no predictions",
        metadata={"examples": lost[:20]},
    )


@dg.asset_check(asset=drift, partitions_def=batches)
def batch_is_like_the_training_data(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """No metric of the batch is far from the training reference."""
    rows = boatseg.lake().read("drift", batch_id=context.partition_key)
    drifted = rows.filter("drifted")["metric"].to_list()
    return dg.AssetCheckResult(
        passed=not drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"drifted: {', '.join(drifted)}" if drifted else "no metric drifted from training"
        ),
        metadata=dict(rows.select("metric", "statistic").iter_rows()),
    )


model_checks = [
    beats_predicting_nothing,
    predictions_cover_the_batch,
    batch_is_like_the_training_data,
]

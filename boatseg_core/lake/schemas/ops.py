"""Promotions, drift and served requests."""

from __future__ import annotations

from boatseg_core.lake.schemas.columns import BATCH_ID, BOOL, F32, F64, I32, I64, STR, TIME
from boatseg_core.lake.schemas.spec import Column, TableSpec

OPS = (
    TableSpec(
        "promotions",
        "ops",
        "One row a decision on a model version: the audit trail.",
        (
            Column("model_name", STR, "Registered model."),
            Column("model_version", I32, "Version decided on."),
            Column("alias", STR, "Alias the version got: production, or challenger when refused."),
            Column("action", STR, "promoted, refused, forced or rolled_back."),
            Column("previous_version", I32, "Version that was in production before, if any."),
            Column("boat_iou", F64, "Mean IoU over test images with objects."),
            Column("floor", F64, "Score of a model that predicts nothing, on the same images."),
            Column("reason", STR, "Why, in a sentence."),
            Column("at", TIME, "When."),
        ),
    ),
    TableSpec(
        "drift",
        "ops",
        "One row a batch and metric: distance from the training reference.",
        (
            BATCH_ID,
            Column("metric", STR, "brightness, boat_area or boat_count."),
            Column("statistic", F64, "Kolmogorov-Smirnov distance, 0 to 1."),
            Column("threshold", F64, "Distance above which the metric counts as drifted."),
            Column("drifted", BOOL, "Whether it did; never true for a batch too small to judge."),
            Column("reference_mean", F64, "Mean over the training reference."),
            Column("batch_mean", F64, "Mean over the batch."),
            Column("images", I64, "Images of the batch that were compared."),
            Column("model_version", I32, "Version that scored the batch."),
            Column("gold_version", I64, "Delta version of gold the reference was taken from."),
            Column("at", TIME, "When."),
        ),
        ("batch_id",),
    ),
    TableSpec(
        "inference_log",
        "ops",
        "One row a request the service answered.",
        (
            Column("request_id", STR, "Identifier returned to the caller."),
            Column("at", TIME, "When the request arrived."),
            Column("model_version", I32, "Version that answered."),
            Column("width", I32, "Width of the image in pixels."),
            Column("height", I32, "Height of the image in pixels."),
            Column("boat_count", I32, "Number of objects found."),
            Column("boat_area", I64, "Pixels covered by them."),
            Column("latency_ms", F32, "Time from arrival to answer, in milliseconds."),
        ),
    ),
)

"""The code location: everything that Dagster is told about."""

from __future__ import annotations

import dagster as dg

from boatseg_dagster.assets.bronze import raw_images, raw_masks
from boatseg_dagster.assets.gold import gold_dataset
from boatseg_dagster.assets.model import trained_model, tuned_hyperparameters
from boatseg_dagster.assets.serving import batch_predictions, drift
from boatseg_dagster.assets.silver import (
    image_groups,
    image_quality,
    rasterized_masks,
    with_criteria,
)
from boatseg_dagster.assets.upkeep import keep_lake, lake_upkeep, weekly_upkeep
from boatseg_dagster.checks import all_checks
from boatseg_dagster.jobs import all_jobs
from boatseg_dagster.resources import Boatseg
from boatseg_dagster.schedules import all_schedules
from boatseg_dagster.sensors import all_sensors

all_assets = [
    raw_images,
    image_quality,
    raw_masks,
    rasterized_masks,
    image_groups,
    gold_dataset,
    tuned_hyperparameters,
    trained_model,
    batch_predictions,
    drift,
    lake_upkeep,
]
"""Every asset, in the order data flows."""


def build_defs(resource: Boatseg | None = None) -> dg.Definitions:
    """Put the definitions together.

    Args:
        resource: The settings and the lake to work on; by default those of the environment.
    """
    resource = resource or Boatseg()
    return dg.Definitions(
        assets=with_criteria(all_assets, resource),
        asset_checks=all_checks,
        jobs=[*all_jobs, keep_lake],
        sensors=all_sensors,
        schedules=[*all_schedules, weekly_upkeep],
        resources={"boatseg": resource},
        # The steps of a run hand nothing to each other but table versions, and a process per step
        # would import everything six times: one process per run is the unit of isolation.
        executor=dg.in_process_executor,
    )


defs = build_defs()

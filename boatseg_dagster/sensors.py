"""Sensors: what happens because something arrived."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from boatseg_core.config import Settings
from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.errors import InputError
from boatseg_core.ingest.reconcile import sealed_batches
from boatseg_core.ingest.seal import seal
from boatseg_core.labels.ingest import new_files
from boatseg_core.lake import Lake
from boatseg_dagster.jobs import ingest_batch, load_labels
from boatseg_dagster.requests import batch_requests, in_flight, new_partitions, wait_left
from boatseg_dagster.resources import Boatseg


@dg.sensor(
    jobs=[ingest_batch, load_labels],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def landing_sensor(
    context: dg.SensorEvaluationContext, boatseg: Boatseg
) -> dg.SensorResult | dg.SkipReason:
    """Seal new files into batches and ask for every batch the tables are behind on.

    It reconciles and remembers nothing: a batch whose run was lost, failed or never requested is
    found outstanding at the next tick. New labels are loaded first, so that batches are built once.
    """
    return look(context.instance, boatseg, warn=context.log.warning)


def look(
    instance: dg.DagsterInstance,
    boatseg: Boatseg,
    *,
    warn: Callable[[str], None],
    patient: bool = True,
) -> dg.SensorResult | dg.SkipReason:
    """One look at the landing folder and the tables; see :func:`landing_sensor`.

    Args:
        instance: Dagster instance.
        boatseg: The home.
        warn: Called with what a person should know.
        patient: Let what has just failed wait before it is asked for again.
    """
    settings, lake = boatseg.settings(), boatseg.lake()
    settings.paths.create()
    sealed = seal(lake, settings)
    for name in sealed.discovery.unnameable:
        warn(f"{name} is not named in UTF-8 and cannot be ingested: rename it")
    for problem in sealed.discovery.unreadable:
        warn(f"{problem}: left out until it can be read")
    partitions = new_partitions(instance, sealed_batches(lake))
    if "" in in_flight(instance, load_labels.name):
        return dg.SensorResult([], dynamic_partitions_requests=partitions)
    # Labels that cannot be loaded must not hold up the images: those go on while they wait.
    may_load = not (patient and wait_left(instance, load_labels.name) > 0)
    if may_load and _new_labels(lake, settings, warn):
        request = dg.RunRequest(job_name=load_labels.name)
        return dg.SensorResult([request], dynamic_partitions_requests=partitions)
    outstanding = outdated_batches(lake, settings)
    requests = batch_requests(instance, ingest_batch.name, outstanding, patient=patient)
    found = sealed.discovery
    if not requests and not partitions:
        return dg.SkipReason(
            f"nothing new: {found.listed} files listed, {found.known} known, {found.unsettled} "
            f"still being written; {len(outstanding)} batches outstanding and waiting"
        )
    return dg.SensorResult(requests, dynamic_partitions_requests=partitions)


def _new_labels(lake: Lake, settings: Settings, warn: Callable[[str], None]) -> bool:
    try:
        return bool(new_files(lake, settings))
    except InputError as error:  # the label file or its folder is gone; what was read is kept
        warn(str(error))
        return False


all_sensors = [landing_sensor]
"""Every sensor."""

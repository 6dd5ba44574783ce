"""Sensors: what happens because something arrived."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from boatseg_core.config import Settings
from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.errors import InputError
from boatseg_core.ingest.discover import Discovery
from boatseg_core.ingest.reconcile import sealed_batches
from boatseg_core.ingest.seal import seal
from boatseg_core.labels.ingest import new_files
from boatseg_core.lake import Lake
from boatseg_dagster.jobs import ingest_batch, load_labels, rebuild_labels, requalify_batch
from boatseg_dagster.requests import (
    batch_requests,
    in_flight,
    job_for,
    new_partitions,
    wait_left,
)
from boatseg_dagster.resources import Boatseg

_FRONT = "/"  # Dagster keeps the old cursor where the new one is empty


@dg.sensor(
    jobs=[ingest_batch, rebuild_labels, requalify_batch, load_labels],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def landing_sensor(context: dg.SensorEvaluationContext, boatseg: Boatseg) -> dg.SensorResult:
    """Seal new files into batches and ask for every batch the tables are behind on.

    It reconciles and remembers nothing but where in the landing folder it stopped looking: a batch
    whose run was lost, failed or never requested is found outstanding at the next tick. New labels
    are loaded first, so that batches are built once.
    """
    after = (context.cursor or _FRONT).removeprefix(_FRONT)
    return look(context.instance, boatseg, after=after, warn=context.log.warning)


def look(
    instance: dg.DagsterInstance,
    boatseg: Boatseg,
    *,
    after: str = "",
    warn: Callable[[str], None],
    patient: bool = True,
) -> dg.SensorResult:
    """One look at the landing folder and the tables; see :func:`landing_sensor`.

    Args:
        instance: Dagster instance.
        boatseg: The home.
        after: Place in the landing folder to go on behind; the cursor of the result, without the
            slash before it, is the next.
        warn: Called with what a person should know.
        patient: Look for a bounded time, and let what has just failed wait before it is asked for
            again.
    """
    settings, lake = boatseg.settings(), boatseg.lake()
    settings.paths.create()
    bounds = settings.seal
    found = seal(
        lake,
        settings,
        after=after,
        max_files=bounds.tick_files if patient else 0,
        seconds=bounds.tick_seconds if patient else 0,
    ).discovery
    _tell(found, warn)
    partitions = new_partitions(instance, sealed_batches(lake))

    def result(requests: list[dg.RunRequest], skip: str | None = None) -> dg.SensorResult:
        return dg.SensorResult(
            requests, skip, cursor=_FRONT + found.after, dynamic_partitions_requests=partitions
        )

    if "" in in_flight(instance, load_labels.name):
        return result([], "labels are being loaded; batches are built once they are there")
    # Labels that cannot be loaded must not hold up the images: those go on while they wait.
    may_load = not (patient and wait_left(instance, load_labels.name) > 0)
    if may_load and _new_labels(lake, settings, warn):
        return result([dg.RunRequest(job_name=load_labels.name)])
    outstanding = outdated_batches(lake, settings)
    requests = batch_requests(
        instance, outstanding, job_for, limit=bounds.tick_runs, patient=patient
    )
    return result(requests, None if requests else _nothing(found, len(outstanding)))


def _tell(found: Discovery, warn: Callable[[str], None]) -> None:
    for name in found.unnameable:
        warn(f"{name} is not named in UTF-8 and cannot be ingested: rename it")
    for problem in found.unreadable:
        warn(f"{problem}: left out until it can be read")


def _nothing(found: Discovery, outstanding: int) -> str:
    more = "" if found.complete else f"; the listing goes on behind {found.after}"
    return (
        f"nothing to ask for: {found.listed} files listed, {found.known} known, "
        f"{found.unsettled} still being written; {outstanding} batches outstanding, waiting or "
        f"being built{more}"
    )


def _new_labels(lake: Lake, settings: Settings, warn: Callable[[str], None]) -> bool:
    try:
        return bool(new_files(lake, settings))
    except InputError as error:  # the label file or its folder is gone; what was read is kept
        warn(str(error))
        return False


all_sensors = [landing_sensor]
"""Every sensor."""

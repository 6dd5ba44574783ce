"""One tick of the sensor as Dagster's daemon makes it, and runs of what it asks for."""

from __future__ import annotations

import dagster as dg

from boatseg_dagster.definitions import build_defs
from boatseg_dagster.resources import Boatseg
from boatseg_dagster.sensors import landing_sensor


def tick(
    instance: dg.DagsterInstance, boatseg: Boatseg, cursor: str | None = None
) -> dg.SensorResult:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"boatseg": boatseg}
    )
    result = landing_sensor(context)
    assert isinstance(result, dg.SensorResult)
    for addition in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions(addition.partitions_def_name, list(addition.partition_keys))
    return result


def requests(result: dg.SensorResult) -> list[tuple[str | None, str | None]]:
    return [(request.job_name, request.partition_key) for request in result.run_requests or []]


def said(result: dg.SensorResult) -> str:
    return str(result.skip_reason.skip_message if result.skip_reason else "")


def execute(
    instance: dg.DagsterInstance, boatseg: Boatseg, job: str, batch: str | None = None
) -> dg.ExecuteInProcessResult:
    return (
        build_defs(boatseg)
        .resolve_job_def(job)
        .execute_in_process(instance=instance, partition_key=batch, raise_on_error=False)
    )

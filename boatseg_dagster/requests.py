"""Turn what the core finds outstanding into run requests; shared by sensor, schedules and runner.

Nothing is remembered here. A batch is asked for as long as the tables say that it is outstanding,
no run of it is in flight, and its last runs did not just fail (it then waits longer each time, but
is never given up).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import dagster as dg

from boatseg_dagster.liveness import close_dead_runs
from boatseg_dagster.partitions import batches

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FIRST_WAIT = 30.0  # s
_LONGEST_WAIT = 3600.0  # s
_LOOK_BACK = 8  # runs; enough for the wait to reach its longest


def in_flight(instance: dg.DagsterInstance, job_name: str = "") -> set[str]:
    """Partition keys of unfinished runs; the empty string for a run without a partition.

    Args:
        instance: Dagster instance.
        job_name: Only this job's runs; by default of all, backfills from the UI included.
    """
    close_dead_runs(instance)
    runs = instance.get_runs(dg.RunsFilter(job_name=job_name or None, statuses=_UNFINISHED))
    return {run.tags.get("dagster/partition", "") for run in runs}


def wait_left(instance: dg.DagsterInstance, job_name: str, batch_id: str = "") -> float:
    """Seconds until a job that has just failed may be asked for again.

    Args:
        instance: Dagster instance.
        job_name: The job.
        batch_id: Its partition; empty for a job without.

    Returns:
        30 s after one failure, doubling up to an hour; 0 once a run has succeeded.
    """
    tags = {"dagster/partition": batch_id} if batch_id else {}
    records = instance.get_run_records(
        dg.RunsFilter(job_name=job_name, tags=tags), limit=_LOOK_BACK
    )
    failed = 0
    for record in records:  # newest first
        if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
            break
        failed += record.dagster_run.is_finished
    if not failed:
        return 0.0
    wait = min(_FIRST_WAIT * 2.0 ** (failed - 1), _LONGEST_WAIT)
    ended = max(record.end_time or 0.0 for record in records)
    return max(0.0, ended + wait - time.time())


def new_partitions(
    instance: dg.DagsterInstance, batch_ids: Iterable[str]
) -> list[dg.AddDynamicPartitionsRequest]:
    """Ask for the partitions that Dagster does not know yet."""
    known = set(instance.get_dynamic_partitions(str(batches.name)))
    missing = [batch for batch in batch_ids if batch not in known]
    return [batches.build_add_request(missing)] if missing else []


def batch_requests(
    instance: dg.DagsterInstance,
    job_name: str,
    outstanding: Mapping[str, str],
    *,
    patient: bool = True,
) -> list[dg.RunRequest]:
    """Ask for a run of each outstanding batch that is not being worked on.

    Args:
        instance: Dagster instance.
        job_name: Job to run.
        outstanding: Batch id and the reason it is outstanding.
        patient: Let a batch whose last run has just failed wait.
    """
    busy = in_flight(instance)
    return [
        # No run key: it would swallow every later retry of the batch.
        dg.RunRequest(job_name=job_name, partition_key=batch, tags={"boatseg/reason": reason})
        for batch, reason in outstanding.items()
        if batch not in busy and not (patient and wait_left(instance, job_name, batch) > 0)
    ]

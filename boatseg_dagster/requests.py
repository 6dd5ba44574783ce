"""Turn what the core finds outstanding into run requests; shared by sensor, schedules and runner.

Nothing is remembered here. A batch is asked for as long as the tables say that it is outstanding,
no run of it is in flight, and its last runs did not just fail (it then waits longer each time, but
is never given up). However many batches are outstanding, Dagster's database is asked a few
questions, not one a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.dagster_run import TagBucket

from boatseg_core.dataset.staleness import needs
from boatseg_dagster.jobs import ingest_batch, rebuild_labels, requalify_batch
from boatseg_dagster.liveness import close_dead_runs
from boatseg_dagster.partitions import batches

_PARTITION = "dagster/partition"
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_FIRST_WAIT = 30.0  # s
_LONGEST_WAIT = 3600.0  # s
_LOOK_BACK = 8  # runs; enough for the wait to reach its longest
_JOBS = {"ingest": ingest_batch, "labels": rebuild_labels, "judge": requalify_batch}


def job_for(reason: str) -> str:
    """Name of the job that does what a batch needs, and no more."""
    return _JOBS[needs(reason)].name


def in_flight(instance: dg.DagsterInstance, job_name: str = "") -> set[str]:
    """Partition keys of unfinished runs; the empty string for a run without a partition.

    Args:
        instance: Dagster instance.
        job_name: Only this job's runs; by default of all, backfills from the UI included.
    """
    close_dead_runs(instance)
    runs = instance.get_runs(dg.RunsFilter(job_name=job_name or None, statuses=_UNFINISHED))
    return {run.tags.get(_PARTITION, "") for run in runs}


def wait_left(instance: dg.DagsterInstance, job_name: str) -> float:
    """Seconds until a job without partitions that has just failed may be asked for again.

    Args:
        instance: Dagster instance.
        job_name: The job.

    Returns:
        30 s after one failure, doubling up to an hour; 0 once a run has succeeded.
    """
    return _wait(instance.get_run_records(dg.RunsFilter(job_name=job_name), limit=_LOOK_BACK))


def waiting(instance: dg.DagsterInstance, job_name: str, batch_ids: Collection[str]) -> set[str]:
    """Batches whose last runs of a job have just failed, and which wait like :func:`wait_left`.

    Args:
        instance: Dagster instance.
        job_name: The job.
        batch_ids: Batches to look at.
    """
    since = datetime.fromtimestamp(time.time() - _LONGEST_WAIT, UTC)
    failures = instance.get_runs(
        dg.RunsFilter(job_name=job_name, statuses=_FAILED, updated_after=since)
    )
    suspects = {run.tags.get(_PARTITION, "") for run in failures} & set(batch_ids)
    if not suspects:
        return set()
    recent: dict[str, list[dg.RunRecord]] = {batch: [] for batch in suspects}
    for record in instance.get_run_records(
        dg.RunsFilter(job_name=job_name),
        bucket_by=TagBucket(_PARTITION, sorted(suspects), bucket_limit=_LOOK_BACK),
    ):
        recent[record.dagster_run.tags[_PARTITION]].append(record)
    return {batch for batch, records in recent.items() if _wait(records) > 0}


def new_partitions(
    instance: dg.DagsterInstance, batch_ids: Iterable[str]
) -> list[dg.AddDynamicPartitionsRequest]:
    """Ask for the partitions that Dagster does not know yet."""
    known = set(instance.get_dynamic_partitions(str(batches.name)))
    missing = [batch for batch in batch_ids if batch not in known]
    return [batches.build_add_request(missing)] if missing else []


def batch_requests(
    instance: dg.DagsterInstance,
    outstanding: Mapping[str, str],
    job_of: Callable[[str], str],
    *,
    limit: int,
    patient: bool = True,
) -> list[dg.RunRequest]:
    """Ask for a run of each outstanding batch that is not being worked on, oldest first.

    Args:
        instance: Dagster instance.
        outstanding: Batch id and the reason it is outstanding.
        job_of: Names the job to run for a reason.
        limit: Most runs that may wait or run at a time. A queue of thousands would hold what was
            wanted hours ago; what is left out is asked for when there is room.
        patient: Let a batch whose last run has just failed wait.
    """
    busy = in_flight(instance) - {""}
    jobs: dict[str, list[str]] = {}
    for batch, reason in outstanding.items():
        if batch not in busy:
            jobs.setdefault(job_of(reason), []).append(batch)
    ready = {
        batch: job
        for job, batch_ids in jobs.items()
        for batch in set(batch_ids) - (waiting(instance, job, batch_ids) if patient else set())
    }
    return [
        # No run key: it would swallow every later retry of the batch.
        dg.RunRequest(
            job_name=ready[batch],
            partition_key=batch,
            tags={"boatseg/reason": outstanding[batch]},
        )
        for batch in sorted(ready)[: max(0, limit - len(busy))]
    ]


def _wait(records: Iterable[dg.RunRecord]) -> float:
    """Seconds that a job has to wait after these runs of it, the newest first."""
    failed, ended = 0, 0.0
    for record in sorted(records, key=lambda record: -record.storage_id):
        ended = max(ended, record.end_time or 0.0)
        if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
            break
        failed += record.dagster_run.is_finished
    if not failed:
        return 0.0
    wait = min(_FIRST_WAIT * 2.0 ** (failed - 1), _LONGEST_WAIT)
    return max(0.0, ended + wait - time.time())

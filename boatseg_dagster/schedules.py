"""Schedules: what happens because it is time."""

from __future__ import annotations

import dagster as dg

from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.inference.backlog import stale_scores, unscored_batches
from boatseg_core.registry.lookup import version_of
from boatseg_dagster.jobs import ingest_batch, score_batch
from boatseg_dagster.requests import batch_requests, job_for
from boatseg_dagster.resources import Boatseg

_NO_MODEL = "no model is in production yet: materialize trained_model"


@dg.schedule(
    job=score_batch,
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def hourly_scoring(
    context: dg.ScheduleEvaluationContext, boatseg: Boatseg
) -> list[dg.RunRequest] | dg.SkipReason:
    """Score what no model has scored yet, with the model in production."""
    settings = boatseg.settings()
    if version_of(settings) is None:
        return dg.SkipReason(_NO_MODEL)
    unscored = dict.fromkeys(unscored_batches(boatseg.lake()), "unscored")
    requests = batch_requests(context.instance, unscored, _scoring, limit=settings.seal.tick_runs)
    return requests or dg.SkipReason("every image that passed quality is scored")


@dg.schedule(
    job=ingest_batch,
    cron_schedule="30 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def nightly_backfill(
    context: dg.ScheduleEvaluationContext, boatseg: Boatseg
) -> list[dg.RunRequest] | dg.SkipReason:
    """Read batches again that are missing, failed or stale, however recently they were tried.

    What needs no file to be read (labels, verdicts) the sensor asks for; a schedule has one job.
    """
    settings = boatseg.settings()
    outdated = outdated_batches(boatseg.lake(), settings)
    unread = {b: reason for b, reason in outdated.items() if job_for(reason) == ingest_batch.name}
    limit = settings.seal.tick_runs
    requests = batch_requests(context.instance, unread, job_for, limit=limit, patient=False)
    return requests or dg.SkipReason("no batch is missing, failed or stale")


@dg.schedule(
    job=score_batch,
    cron_schedule="30 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def nightly_rescoring(
    context: dg.ScheduleEvaluationContext, boatseg: Boatseg
) -> list[dg.RunRequest] | dg.SkipReason:
    """Score again what another model or version than the one in production has scored."""
    settings = boatseg.settings()
    version = version_of(settings)
    if version is None:
        return dg.SkipReason(_NO_MODEL)
    name = settings.registry.model_name
    stale = stale_scores(boatseg.lake(), name, version)
    outstanding = dict.fromkeys(stale, f"not by {name} version {version}")
    limit = settings.seal.tick_runs
    requests = batch_requests(context.instance, outstanding, _scoring, limit=limit, patient=False)
    return requests or dg.SkipReason(f"every batch was scored by {name} version {version}")


def _scoring(_: str) -> str:
    return score_batch.name


all_schedules = [hourly_scoring, nightly_backfill, nightly_rescoring]
"""Every schedule."""

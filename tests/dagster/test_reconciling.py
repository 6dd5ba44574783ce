"""The sensor and the schedules: what they ask for, and that they never forget or repeat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from support.pictures import drop
from support.scenes import write_scenes
from support.ticks import execute, requests, said, tick

from boatseg_core.config import Settings
from boatseg_core.lake import Lake
from boatseg_dagster.definitions import build_defs
from boatseg_dagster.liveness import PROCESS_TAG, this_process
from boatseg_dagster.resources import Boatseg
from boatseg_dagster.schedules import hourly_scoring, nightly_backfill, nightly_rescoring


def test_labels_come_first_then_every_batch_then_nothing(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    write_scenes(settings.paths.landing, 25)

    first = requests(tick(instance, boatseg))
    assert first == [("load_labels", None)]
    assert execute(instance, boatseg, "load_labels").success

    second = requests(tick(instance, boatseg))
    assert [job for job, _ in second] == ["ingest_batch", "ingest_batch"]
    for job, batch in second:
        assert execute(instance, boatseg, str(job), batch).success
    assert lake.read("gold_dataset").height == 25

    third = tick(instance, boatseg)
    assert not third.run_requests
    assert "25 files listed, 25 known" in said(third)


def test_a_request_that_was_lost_is_made_again(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings
) -> None:
    write_scenes(settings.paths.landing, 3, labelled=False)

    asked = requests(tick(instance, boatseg))

    assert len(asked) == 1
    assert requests(tick(instance, boatseg)) == asked  # nobody ran it: the daemon was killed


def test_a_batch_in_flight_is_not_asked_for_twice(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings
) -> None:
    write_scenes(settings.paths.landing, 3, labelled=False)
    ((job, batch),) = requests(tick(instance, boatseg))
    instance.create_run_for_job(
        build_defs(boatseg).resolve_job_def(str(job)),
        tags={"dagster/partition": str(batch)},
        status=dg.DagsterRunStatus.STARTED,
    )

    assert requests(tick(instance, boatseg)) == []


def test_a_failed_batch_waits_and_is_then_asked_for_again(
    instance: dg.DagsterInstance,
    boatseg: Boatseg,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_scenes(settings.paths.landing, 3, labelled=False)
    ((job, batch),) = requests(tick(instance, boatseg))
    with monkeypatch.context() as patch:

        def fail(*_: object, **__: object) -> None:
            raise OSError("the disk is on fire")

        patch.setattr("boatseg_dagster.assets.bronze.ingest_batch", fail)
        assert not execute(instance, boatseg, str(job), batch).success

    assert requests(tick(instance, boatseg)) == []  # not at once: it just failed
    monkeypatch.setattr("boatseg_dagster.requests._FIRST_WAIT", 0.0)
    assert requests(tick(instance, boatseg)) == [(job, batch)]
    assert execute(instance, boatseg, str(job), batch).success
    assert requests(tick(instance, boatseg)) == []


def test_the_nightly_backfill_does_not_wait(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings
) -> None:
    write_scenes(settings.paths.landing, 3, labelled=False)
    tick(instance, boatseg)

    def night() -> list[tuple[str | None, str | None]] | str:
        context = dg.build_schedule_context(instance=instance, resources={"boatseg": boatseg})
        result = nightly_backfill(context)
        if isinstance(result, dg.SkipReason):
            return str(result.skip_message)
        return [(request.job_name, request.partition_key) for request in result]

    ((job, batch),) = night()
    assert execute(instance, boatseg, str(job), str(batch)).success
    assert night() == "no batch is missing, failed or stale"


def test_scoring_waits_for_a_model(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings
) -> None:
    for schedule in (hourly_scoring, nightly_rescoring):
        context = dg.build_schedule_context(instance=instance, resources={"boatseg": boatseg})
        result = schedule(context)
        assert isinstance(result, dg.SkipReason)
        assert "no model is in production yet" in str(result.skip_message)


def test_a_batch_of_nothing_but_bad_files_is_finished_too(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    drop(settings.images_folder, "a.jpg", b"")
    drop(settings.images_folder, "b.jpg", b"not a picture")
    ((job, batch),) = requests(tick(instance, boatseg))

    assert execute(instance, boatseg, str(job), batch).success

    assert lake.read("quarantine").height == 2
    assert requests(tick(instance, boatseg)) == []


def test_a_killed_run_is_closed_and_its_batch_asked_for_again(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings
) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc: processes cannot be told apart on this machine")
    write_scenes(settings.paths.landing, 3, labelled=False)
    ((job, batch),) = requests(tick(instance, boatseg))
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host = this_process().partition("/")[0]
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    run = instance.create_run_for_job(
        build_defs(boatseg).resolve_job_def(str(job)),
        tags={
            "dagster/partition": str(batch),
            PROCESS_TAG: f"{host}/{process.pid}/{started}",
        },
        status=dg.DagsterRunStatus.STARTED,
    )
    assert requests(tick(instance, boatseg)) == []

    process.kill()
    process.wait()
    tick(instance, boatseg)

    closed = instance.get_run_by_id(run.run_id)
    assert closed is not None
    assert closed.status is dg.DagsterRunStatus.FAILURE
    context = dg.build_schedule_context(instance=instance, resources={"boatseg": boatseg})
    again = nightly_backfill(context)
    assert [(request.job_name, request.partition_key) for request in again] == [(job, batch)]


def test_a_run_carries_the_process_that_executes_it(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings
) -> None:
    write_scenes(settings.paths.landing, 2, labelled=False)
    ((job, batch),) = requests(tick(instance, boatseg))

    result = execute(instance, boatseg, str(job), batch)

    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[PROCESS_TAG] == this_process()


def test_labels_that_fail_to_load_do_not_hold_up_images(
    instance: dg.DagsterInstance,
    boatseg: Boatseg,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_scenes(settings.paths.landing, 3)

    def fail(*_: object) -> None:
        raise OSError("unreadable today")

    monkeypatch.setattr("boatseg_dagster.assets.bronze.load", fail)
    assert requests(tick(instance, boatseg)) == [("load_labels", None)]
    assert not execute(instance, boatseg, "load_labels").success

    assert [job for job, _ in requests(tick(instance, boatseg))] == ["ingest_batch"]


def test_a_run_that_was_killed_before_it_was_tagged_is_closed_too(
    instance: dg.DagsterInstance,
    boatseg: Boatseg,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_scenes(settings.paths.landing, 3, labelled=False)
    ((job, batch),) = requests(tick(instance, boatseg))
    instance.create_run_for_job(
        build_defs(boatseg).resolve_job_def(str(job)),
        tags={"dagster/partition": str(batch)},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert requests(tick(instance, boatseg)) == []

    monkeypatch.setattr("boatseg_dagster.liveness._TAGGED_WITHIN", -1.0)
    monkeypatch.setattr("boatseg_dagster.requests._FIRST_WAIT", 0.0)
    assert requests(tick(instance, boatseg)) == [(job, batch)]

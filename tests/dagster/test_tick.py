"""One tick of the sensor: bounded, resumed, killed; asking for no more than is needed."""

from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.test_utils import create_run_for_test
from support.histories import History
from support.scenes import write_scenes
from support.ticks import execute, requests, said, tick
from support.workers import tick_and_die

from boatseg_core.config import Settings
from boatseg_core.dataset.staleness import INCOMPLETE
from boatseg_core.ingest.reconcile import sealed_batches
from boatseg_core.lake import Lake
from boatseg_dagster.requests import batch_requests, job_for, waiting
from boatseg_dagster.resources import Boatseg


def rewrite(home: Path, **values: object) -> None:
    """Append settings to the home's file; a later section of the same name is not allowed."""
    file = home / "boatseg.toml"
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    file.write_text(file.read_text().replace("[seal]\n", f"[seal]\n{lines}", 1))


def test_a_sensor_killed_between_sealing_and_requesting_asks_at_the_next_tick(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    write_scenes(settings.paths.landing, 3, labelled=False)
    (tmp_path / "other").mkdir()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=tick_and_die, args=(boatseg.home, str(tmp_path / "other")))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    (batch,) = sealed_batches(lake)  # sealed, and nobody was asked for anything
    assert not instance.get_dynamic_partitions("batches")

    assert requests(tick(instance, boatseg)) == [("ingest_batch", batch)]
    assert instance.get_dynamic_partitions("batches") == [batch]
    assert list(sealed_batches(lake)) == [batch]  # and nothing was sealed twice


def test_a_bounded_tick_goes_on_where_it_stopped_and_loses_nothing_without_its_cursor(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    rewrite(settings.paths.root, tick_files=4)
    names = write_scenes(settings.paths.landing, 10, labelled=False)

    first = tick(instance, boatseg)
    assert first.cursor == f"/{names[3]}"
    second = tick(instance, boatseg, first.cursor)
    assert second.cursor == f"/{names[7]}"
    assert lake.read("files")["path"].sort().to_list() == names[:8]
    tick(instance, boatseg)  # the cursor was lost: a listing more, not a file less
    assert lake.read("files")["path"].sort().to_list() == names
    assert lake.read("files")["path"].is_unique().all()


def test_after_the_end_the_listing_begins_at_the_front_again(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    rewrite(settings.paths.root, tick_files=2)
    write_scenes(settings.paths.landing, 3, seed=1, labelled=False)
    cursor: str | None = None
    for number in range(4):
        if number == 3:  # a file that sorts before all others
            write_scenes(settings.paths.landing, 1, seed=0, labelled=False)
        # As Dagster does it: where the new cursor is empty, the old one stays.
        cursor = tick(instance, boatseg, cursor).cursor or cursor
    assert lake.read("files").height == 4


def test_new_labels_alone_read_no_picture_again(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    write_scenes(settings.paths.landing, 4, labelled=False)
    ((_, batch),) = requests(tick(instance, boatseg))
    assert execute(instance, boatseg, "ingest_batch", batch).success
    before = lake.version("raw_images")
    labels = "".join(f"s0-{i:03}.jpg,\n" for i in range(4))
    (settings.paths.landing / "late.csv").write_text(f"ImageId,EncodedPixels\n{labels}")
    assert requests(tick(instance, boatseg)) == [("load_labels", None)]
    assert execute(instance, boatseg, "load_labels").success

    assert requests(tick(instance, boatseg)) == [("rebuild_labels", batch)]
    assert execute(instance, boatseg, "rebuild_labels", batch).success
    assert lake.version("raw_images") == before
    assert lake.read("gold_dataset").height == 4
    assert "0 batches outstanding" in said(tick(instance, boatseg))

    file = settings.paths.config_file
    file.write_text(f"{file.read_text()}[quality]\nmin_contrast = 120.0\n")
    assert requests(tick(instance, boatseg)) == [("requalify_batch", batch)]
    assert execute(instance, boatseg, "requalify_batch", batch).success
    assert lake.version("raw_images") == before
    assert lake.read("gold_dataset").is_empty()
    assert "0 batches outstanding" in said(tick(instance, boatseg))


def test_a_tick_asks_for_a_bounded_number_of_runs(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    rewrite(settings.paths.root, tick_runs=5)
    history = History(lake, settings, 0)
    for number in range(9):
        history.seal([f"{number}.jpg"])
    asked = requests(tick(instance, boatseg))
    assert [batch for _, batch in asked] == history.batches[:5]
    for batch in history.batches[1:4]:
        running = {"dagster/partition": batch}
        create_run_for_test(
            instance, "ingest_batch", status=dg.DagsterRunStatus.STARTED, tags=running
        )
    asked = requests(tick(instance, boatseg))
    assert [batch for _, batch in asked] == [history.batches[0], history.batches[4]]


def test_many_outstanding_batches_are_looked_up_together(instance: dg.DagsterInstance) -> None:
    outstanding = {f"b{number:04}": INCOMPLETE for number in range(1000)}
    for number in range(12):
        tags = {"dagster/partition": f"b{number:04}"}
        for _ in range(2 if number < 6 else 1):
            run = create_run_for_test(
                instance, "ingest_batch", status=dg.DagsterRunStatus.STARTED, tags=tags
            )
            instance.report_run_failed(run)
        if number % 3 == 0:  # has succeeded since: does not wait
            run = create_run_for_test(
                instance, "ingest_batch", status=dg.DagsterRunStatus.SUCCESS, tags=tags
            )
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", count)
    try:
        asked = batch_requests(instance, outstanding, job_for, limit=10_000)
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", count)
    failing = {f"b{number:04}" for number in range(12) if number % 3}
    assert set(outstanding) - {request.partition_key for request in asked} == failing
    assert waiting(instance, "ingest_batch", outstanding) == failing
    assert waiting(instance, "rebuild_labels", outstanding) == set()
    assert len(statements) < 20
    impatient = batch_requests(instance, outstanding, job_for, limit=10_000, patient=False)
    assert len(impatient) == 1000


def test_the_wait_doubles_with_every_failure(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for batch, failures in (("once", 1), ("thrice", 3)):
        for _ in range(failures):
            tags = {"dagster/partition": batch}
            run = create_run_for_test(
                instance, "ingest_batch", status=dg.DagsterRunStatus.STARTED, tags=tags
            )
            instance.report_run_failed(run)
    clock = time.time()
    for seconds, expected in ((20, {"once", "thrice"}), (60, {"thrice"}), (130, set())):
        monkeypatch.setattr("boatseg_dagster.requests.time.time", lambda s=seconds: clock + s)
        assert waiting(instance, "ingest_batch", ["once", "thrice", "never"]) == expected

"""``boatseg ingest --watch`` as a process of its own, and interrupted in the middle of a batch."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pictures import drop, encoded, texture
from support.s3 import S3Server

from boatseg_core.cli.ingest_steps import STEPS, steps_for
from boatseg_core.cli.ingest_watch import Watch
from boatseg_core.config import load_settings
from boatseg_core.dataset.differences import CRITERIA, GOLD, LABELS, SPLIT
from boatseg_core.dataset.staleness import INCOMPLETE, Memory, all_reasons
from boatseg_core.errors import InputError, LostRace
from boatseg_core.lake import Lake


class Process:
    """The command in a process of its own, its output gathered line by line."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "boatseg_core.cli", "ingest", "--watch", "--every", "0.2"],
            env=os.environ | {"BOATSEG_HOME": str(home), "PYTHONUNBUFFERED": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._gather, daemon=True).start()

    def _gather(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip() for line in self.process.stdout if line.strip())

    def wait_for(self, text: str, count: int = 1) -> None:
        for _ in range(300):
            if sum(text in line for line in self.lines) >= count:
                return
            assert self.process.poll() is None or any(text in line for line in self.lines), (
                self.lines
            )
            time.sleep(0.1)
        raise AssertionError(f"{text!r} never came: {self.lines}")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def watching(tmp_path: Path, images: Path) -> Iterator[Process]:
    process = Process(tmp_path / "home", BOATSEG_LANDING__IMAGES=str(images))
    yield process
    process.process.kill()
    process.process.wait()


def test_it_takes_what_comes_outlives_its_folder_and_ends_when_asked(
    watching: Process, images: Path, tmp_path: Path
) -> None:
    watching.wait_for("watching")
    drop(images, "a.jpg", encoded(texture(1)))
    drop(images, "b.jpg", b"not a picture")
    watching.wait_for("1 of 2 files read, 1 quarantined, 1 passed, 0 in gold")

    shutil.move(images, tmp_path / "away")
    watching.wait_for("the images folder")
    time.sleep(1)  # several looks: said once
    assert sum("the images folder" in line for line in watching.lines) == 1
    shutil.move(tmp_path / "away", images)
    watching.wait_for("files can be read again")

    drop(images, "c.jpg", encoded(texture(2)))
    watching.wait_for("1 of 1 file read")
    labels = tmp_path / "home" / "landing" / "labels.csv"
    labels.write_text("ImageId,EncodedPixels\na.jpg,1 3\nc.jpg,\n")
    watching.wait_for("built again (it was outdated: labels are newer than the masks)", count=2)

    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait(30) == 0
    assert "stopped" in watching.lines[-1]
    assert not [line for line in watching.lines if "Traceback" in line]
    settings = load_settings(home=tmp_path / "home", landing={"images": str(images)})
    lake = Lake.from_settings(settings)
    assert sorted(lake.read("gold_dataset")["image_id"]) == ["a.jpg", "c.jpg"]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    settings = load_settings(
        home=tmp_path / "home", landing={"settle_seconds": 0}, seal={"max_files": 1}
    )
    settings.paths.create()
    for number in range(3):
        drop(settings.images_folder, f"{number}.jpg", encoded(texture(number)))
    return Watch(Lake.from_settings(settings), settings, 0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_watch_finishes_the_batch_at_hand(
    watch: Watch, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = STEPS["reading"]

    def interrupted(*args: object) -> None:
        read(*args)  # type: ignore[arg-type]
        os.kill(os.getpid(), number)

    monkeypatch.setitem(STEPS, "reading", interrupted)
    handler = signal.getsignal(number)
    watch.run()
    assert signal.getsignal(number) is handler
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and "1 of 1 file read" in lines[0]
    assert watch.lake.read("image_groups").height == 1
    assert watch.lake.read("files").height == 3


def test_a_second_interrupt_does_not_wait(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")

    monkeypatch.setitem(STEPS, "reading", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watch.run()
    monkeypatch.undo()
    watch.stopping.clear()
    watch.look()
    assert watch.lake.read("raw_images").height == 3


def test_a_batch_that_fails_waits_and_holds_up_no_other(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, failing = STEPS["reading"], [True]

    def fails_for_the_first(lake: Lake, batch: str, *rest: object) -> None:
        if batch.endswith("1") and failing:
            raise InputError("the disk does not answer")
        read(lake, batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setitem(STEPS, "reading", fails_for_the_first)
    watch.look()
    watch.look()
    captured = capsys.readouterr()
    assert captured.err.count("the disk does not answer; trying again in 10 s") == 1
    assert len(captured.out.splitlines()) == 2
    failing.clear()
    monkeypatch.setattr(time, "monotonic", lambda clock=time.monotonic: clock() + 11)
    watch.look()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_another_ingester_is_no_reason_to_run_anything(
    watch: Watch,
    boatseg,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read, lost = STEPS["reading"], []

    def loses_once(lake: Lake, batch: str, *rest: object) -> None:
        if batch not in lost:
            lost.append(batch)
            raise LostRace(f"batch {batch} was not written: run it again")
        read(lake, batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setitem(STEPS, "reading", loses_once)
    watch.look()
    said = capsys.readouterr().err
    assert said.count("another process is building it; trying again in 10 s") == 3
    assert "run it again" not in said
    lost.clear()
    result = boatseg("ingest", "--once", "--home", tmp_path / "home")
    assert result.exit_code == 0
    assert result.stderr.count("another process is building it") == 3
    assert "run it again" not in result.stderr
    assert watch.lake.read("gold_dataset").height == 0
    assert watch.lake.read("image_groups").height == 3


def test_a_bucket_is_watched_with_the_tables_in_another(
    s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = s3.bucket()
    store = s3.store(bucket)
    settings = load_settings(
        home=tmp_path / "home",
        landing={"settle_seconds": 0, "images": f"s3://{bucket}/in"},
        lake_uri=f"s3://{bucket}/lake",
        storage_options=s3.storage_options | {"aws_conditional_put": "etag"},
    )
    settings.paths.create()
    store.put("in/a.jpg", encoded(texture(1)))
    (settings.paths.landing / "labels.csv").write_text("ImageId,EncodedPixels\na.jpg,1 3\n")
    watch = Watch(Lake.from_settings(settings), settings, 0.1)
    watch.look()
    lines = capsys.readouterr().out.splitlines()
    assert "1 of 1 file read, 1 passed, 1 in gold" in lines[-1]
    watch.look()
    assert not capsys.readouterr().out

    store.put("in/b.jpg", encoded(texture(2)))
    store.put("in/copy.jpg", encoded(texture(1)))
    watch.look()
    assert "2 of 2 files read, 1 passed, 0 in gold" in capsys.readouterr().out
    assert all_reasons(watch.lake, settings) == Memory().look(watch.lake, settings) == {}


def test_once_and_watch_exclude_each_other(boatseg) -> None:
    result = boatseg("ingest", "--once", "--watch")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_pictures_are_read_only_where_they_have_to_be() -> None:
    assert steps_for([INCOMPLETE, LABELS]) == list(STEPS)
    assert steps_for([LABELS, GOLD]) == ["drawing masks", "joining gold"]
    assert steps_for([CRITERIA, LABELS]) == ["judging", "drawing masks", "joining gold"]
    assert steps_for([SPLIT]) == ["grouping", "joining gold"]
    assert steps_for([GOLD]) == ["joining gold"]

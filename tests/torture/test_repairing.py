"""A repair and writers of one lake at the same time, in real processes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
from support import repairing
from support.homes import boatseg, contents, differences, fill, lake_of

from boatseg_core.config import load_settings
from boatseg_core.errors import LakeError
from boatseg_core.ingest.doctor import examine_all, repair_all
from boatseg_core.lake import TABLES, Lake, files_local
from boatseg_core.lake.doctor import Finding


def committing(root: Path, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, repairing.__file__, str(root), str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_commits_of_others_wait_while_somebody_is_alone_and_then_go_on(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.create("files")
    row = pa.Table.from_pylist([{"image_id": "mine", "batch_id": "b"}], TABLES["files"].schema)
    with lake.files.alone() as locked:
        assert locked
        writer = committing(tmp_path / "lake", 3)
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(5)
        assert lake.append("files", row) == 1  # whoever is alone commits
        alone_until = time.time()
    out, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0
    assert [float(line) > alone_until for line in out.split()] == [True] * 3
    assert lake.count("files") == 4


def test_whoever_dies_alone_holds_up_nobody(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.create("files")
    code = (
        "import os, signal, sys; from boatseg_core.lake import Lake\n"
        "with Lake(sys.argv[1]).files.alone(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    assert committing(tmp_path, 1).wait(60) == 0


def test_a_repair_that_cannot_be_alone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_local, "_PATIENCE", 0.1)
    one, other = Lake(str(tmp_path)), Lake(str(tmp_path))
    with (
        one.files.committing(),
        pytest.raises(LakeError, match="keep committing"),
        other.files.alone(),
    ):
        raise AssertionError("not alone")


def test_a_commit_that_waits_for_a_repair_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    fill(home, 2)
    lake = lake_of(home)
    lake.create("files")
    with ExitStack() as alone:
        assert alone.enter_context(lake.files.alone())
        threading.Timer(1.6, alone.close).start()
        assert boatseg(home, "ingest") == 0
    said = capsys.readouterr().err
    assert said.count(f"waiting: the lake {home / 'lake'} is being repaired") == 1


def test_a_commit_that_waits_a_moment_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = Lake(str(tmp_path)), Lake(str(tmp_path))
    with ExitStack() as alone:
        assert alone.enter_context(other.files.alone())
        threading.Timer(0.1, alone.close).start()
        one.create("files")
    assert caplog.text == ""


def test_a_repair_that_waits_for_a_commit_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_local, "_SILENCE", 0.1)
    home = tmp_path / "home"
    fill(home, 2)
    assert boatseg(home, "ingest") == 0
    with ExitStack() as commit:
        commit.enter_context(lake_of(home).files.committing())
        threading.Timer(0.5, commit.close).start()
        assert boatseg(home, "lake", "doctor", "--repair") == 0
    assert capsys.readouterr().err.count("for other processes to finish their commits") == 1


def test_a_file_system_without_locks_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lake = Lake(str(tmp_path))
    row = pa.Table.from_pylist([{"image_id": "a", "batch_id": "b"}], TABLES["files"].schema)
    assert lake.append("files", row) == 1
    with lake.files.alone() as locked:
        assert not locked


def test_a_file_opened_to_be_read_cannot_be_locked_alone_on_nfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def emulated(lock: int, how: int) -> None:
        mode = fcntl.fcntl(lock, fcntl.F_GETFL) & os.O_ACCMODE
        if how & fcntl.LOCK_EX and mode == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", emulated)
    lake = Lake(str(tmp_path))
    lake.create("files")
    with lake.files.alone() as locked:
        assert locked
    opened = os.open

    def of_somebody_else(path: object, flags: int, *mode: int) -> int:
        if Path(str(path)).name == files_local.LOCK and flags & os.O_ACCMODE != os.O_RDONLY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, flags, *mode)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "open", of_somebody_else)
    with lake.files.alone() as locked:
        assert not locked
    with lake.files.committing():
        pass


def test_a_process_forked_during_a_commit_does_not_keep_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_local, "_PATIENCE", 0.1)
    kept: list[int] = []
    flock = fcntl.flock

    def forking(lock: int, how: int) -> None:
        flock(lock, how)
        if how & fcntl.LOCK_SH:
            kept.append(os.dup(lock))  # what a child has: the same open file

    monkeypatch.setattr(fcntl, "flock", forking)
    one, other = Lake(str(tmp_path)), Lake(str(tmp_path))
    with one.files.committing():
        pass
    with other.files.alone() as locked:
        assert locked
    assert kept
    for lock in kept:
        os.close(lock)


def test_what_is_over_by_the_time_of_the_repair_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    fill(home, 6)
    assert boatseg(home, "ingest") == 0
    lake, before = lake_of(home), contents(home)
    # Found by somebody who looked at the ledger before the batch was sealed into it.
    batch = min(lake.counts("gold_dataset"))
    stale = Finding("gold_dataset", "dead_batches", "", "", "safe", "", batches=(batch,))
    settings = load_settings(home=home)
    assert repair_all(lake, settings, list(TABLES), [stale]) == []
    assert differences(before, contents(home)) == []


def test_repairs_beside_an_ingestion_take_nothing_from_it(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    fill(home, 24, batch=3)
    shutil.copytree(home, other)
    assert boatseg(other, "ingest") == 0
    code = "import sys; from boatseg_core.cli.root import root; root.main(sys.argv[1:])"
    ingest = subprocess.Popen([sys.executable, "-c", code, "ingest", "--home", str(home)])
    lake, settings, repairs = lake_of(home), load_settings(home=home), 0
    while ingest.poll() is None:
        if lake.exists("files"):
            found = examine_all(lake, list(TABLES), deep=False)
            assert repair_all(lake, settings, list(TABLES), found, rewind=True) == []
            repairs += 1
    assert ingest.returncode == 0 and repairs > 1
    assert differences(contents(other), contents(home)) == []

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boatseg_core.cli import failure, tables
from boatseg_core.errors import (
    BoatsegError,
    ConfigError,
    ImageError,
    InputError,
    LakeError,
    RegistryError,
)

COMMAND = [sys.executable, "-m", "boatseg_core.cli"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("it is wrong"), 2),
        (InputError("it is wrong"), 2),
        (LakeError("it is wrong"), 1),
        (RegistryError("it is wrong"), 1),
        (ImageError("truncated", "it is wrong"), 1),
        (BoatsegError("it is wrong"), 1),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BoatsegError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, failure.reported():
        raise error
    assert end.value.code == code
    assert capsys.readouterr() == ("", "error: it is wrong\n")


def test_a_long_message_stays_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    message = "a/very/long/path/" * 20 + "[bold] is\n  not markup"
    failure.say_error(message)
    assert capsys.readouterr().err == "error: " + " ".join(message.split()) + "\n"


def test_a_file_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    failure.say_error("\x1b]0;title\x07 evil\udcff.jpg")
    assert capsys.readouterr().err == "error: \\x1b]0;title\\x07 evil\\udcff.jpg\n"


def test_colours_of_a_library_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    failure.say_error("no bucket \x1b[31m↳\x1b[0m refused")
    assert capsys.readouterr().err == "error: no bucket ↳ refused\n"


def test_a_bug_keeps_its_traceback(boatseg, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tables, "_facts", broken)
    assert isinstance(boatseg("tables").exception, ZeroDivisionError)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_cannot_be_written_is_no_bug(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, failure.reported():
        raise OSError(number, os.strerror(number), "/disk/file")
    assert end.value.code == 1
    message = f"error: the disk cannot be written to: {os.strerror(number)} (/disk/file)\n"
    assert capsys.readouterr().err == message


def test_want_of_memory_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, failure.reported():
        raise MemoryError
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("error: memory ran out: end other programs")


def test_another_failure_of_the_system_is_a_bug() -> None:
    with pytest.raises(PermissionError), failure.reported():
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "config"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_ctrl_c_is_quiet(tmp_path: Path) -> None:
    command = [*COMMAND, "data", "synth", "--count", "100000", "--workers", "1"]
    process = subprocess.Popen([*command, "--out", tmp_path], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("images/*.jpg")):
        assert time.monotonic() < deadline, "nothing was drawn"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.strip()) == (130, "")


def test_a_terminal_without_unicode_gets_escapes(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([*COMMAND, "tables"], env=environment, capture_output=True)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"raw_images" in done.stdout


@pytest.mark.parametrize("command", [["ingest"], ["ingest", "--once"]])
def test_a_home_that_cannot_be_written_is_named(boatseg, tmp_path: Path, command: list) -> None:
    (tmp_path / "file").write_text("")
    result = boatseg(*command, "--home", tmp_path / "file" / "home")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"error: the home {tmp_path / 'file' / 'home'} cannot be")


def test_a_read_only_home_can_be_read_but_not_ingested_into(boatseg, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("nothing is read-only to this user")
    assert boatseg("status", "--home", folder).exit_code == 0
    assert "cannot be written to" in boatseg("ingest", "--home", folder).stderr

"""The journal: what a crash may leave of it, and what damage looks like."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import optuna  # noqa: TID253
import pytest
from support.holding import hold

from boatseg_core.config import load_settings
from boatseg_core.errors import TrainingError
from boatseg_core.training.study.storage import ProcessLock, open_storage, storage_errors


def test_a_line_cut_by_a_crash_costs_itself_and_no_more(tmp_path):
    settings = load_settings(home=tmp_path)
    journal = settings.paths.optuna_journal
    study = optuna.create_study(storage=open_storage(settings), study_name="s")
    study.add_trial(optuna.trial.create_trial(value=0.5))
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker')
    again = optuna.load_study(storage=open_storage(settings), study_name="s")
    assert journal.read_bytes() == whole
    again.add_trial(optuna.trial.create_trial(value=0.7))
    last = optuna.load_study(storage=open_storage(settings), study_name="s")
    assert [trial.value for trial in last.trials] == [0.5, 0.7]


def test_a_journal_damaged_in_the_middle_is_one_sentence(tmp_path):
    settings = load_settings(home=tmp_path)
    journal = settings.paths.optuna_journal
    optuna.create_study(storage=open_storage(settings), study_name="s")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"\x00garbage\n" + b"".join(lines))
    with pytest.raises(TrainingError, match=r"journal .* is damaged .* move it away"):
        open_storage(settings)


def test_a_missing_driver_is_one_sentence(tmp_path):
    settings = load_settings(home=tmp_path, tune={"storage": "mysql+nodriver://me:pw@h/d"})
    with pytest.raises(TrainingError, match=r"mysql\+nodriver://h/d"):
        open_storage(settings)


def test_other_errors_are_not_taken_for_the_storage_s(tmp_path):
    with (
        pytest.raises(ValueError, match="mine"),
        storage_errors(load_settings(home=tmp_path)),
    ):
        raise ValueError("mine")


def test_a_killed_process_gives_its_lock_back_at_once(tmp_path: Path):
    file, held = str(tmp_path / "journal"), tmp_path / "held"
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(file, str(held)))
    process.start()
    while not held.exists():
        assert process.is_alive()
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    lock, started = ProcessLock(file), time.monotonic()
    assert lock.acquire() and time.monotonic() - started < 1
    lock.release()

"""Studies with real worker processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import trials
from support.postgres import postgres  # noqa: F401

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import TrainingError
from boatseg_core.training import tune as tune_module
from boatseg_core.training.tune import TuneResult, tune

ROOT = Path(__file__).parents[4]


def with_workers(settings: Settings, workers: int, **fields: object) -> Settings:
    return load_settings(home=settings.home, tune={**trials.space(workers), **fields})


def run(gold, settings: Settings, tmp_path: Path, monkeypatch, trainer) -> TuneResult:
    monkeypatch.setattr(tune_module, "fit", trainer)
    return tune(gold, settings, work=tmp_path / "work")


def wait_until(ready, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "not in time"
        assert process.poll() is None, "ended too early"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] not in "ZX"


def test_a_killed_worker_is_replaced_and_its_trial_tried_again(
    gold, settings, tmp_path, monkeypatch
):
    used = with_workers(settings, 2)
    result = run(gold, used, tmp_path, monkeypatch, trials.deadly_once)
    states = sorted(row["state"] for row in result.trials)
    assert states == ["complete"] * 4 + ["lost"]  # the budget is of trials that ran
    lost = next(row for row in result.trials if row["state"] == "lost")
    again = next(row for row in result.trials if row["retry_of"] == lost["number"])
    assert again["params"] == lost["params"] and again["state"] == "complete"
    assert "signal 9" in lost["reason"]
    assert result.best_value == pytest.approx(max(r["value"] for r in result.trials if r != lost))
    assert not list((tmp_path / "work").glob("*"))


def test_what_kills_every_worker_fails_in_the_end(gold, settings, tmp_path, monkeypatch):
    used = with_workers(settings, 2, trials=1)
    with pytest.raises(TrainingError, match=r"every trial .* signal 9.*memory"):
        run(gold, used, tmp_path, monkeypatch, trials.deadly)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_study_which_goes_on_later(
    gold, settings, tmp_path, monkeypatch, how
):
    home = settings.paths.root
    arguments = [str(home), str(gold.version), "2"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-m", "support.trials", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(home.glob("running-*"))) == 2, process)
        if how is signal.SIGINT:  # as a terminal has it: to every process of the group
            os.killpg(process.pid, how)
        else:
            process.kill()
        code = process.wait(30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert code == (130 if how is signal.SIGINT else -9)
    workers = [int(file.name.partition("-")[2]) for file in home.glob("running-*")]
    until = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)

    result = run(gold, with_workers(settings, 1), tmp_path, monkeypatch, trials.quick)
    states = [row["state"] for row in result.trials]
    assert states == ["lost"] * 2 + ["complete"] * 4
    reason = "interrupted" if how is signal.SIGINT else "its process is gone"
    assert {row["reason"] for row in result.trials[:2]} == {reason}
    # What was running is run again, with the same parameters.
    assert [row["params"] for row in result.trials[2:4]] == [r["params"] for r in result.trials[:2]]


def test_workers_share_a_study_in_postgresql(
    gold,
    settings,
    tmp_path,
    monkeypatch,
    postgres,  # noqa: F811
):
    used = with_workers(settings, 2, storage=postgres)
    result = run(gold, used, tmp_path, monkeypatch, trials.deadly_once)
    states = sorted(row["state"] for row in result.trials)
    assert states == ["complete"] * 4 + ["lost"]
    assert not used.paths.optuna_journal.exists()
    again = run(gold, used, tmp_path, monkeypatch, trials.deadly)  # nothing is left to run
    assert again.best_params == result.best_params


def test_a_database_that_cannot_be_reached_is_one_sentence(gold, settings, tmp_path):
    pytest.importorskip("psycopg")
    lost = with_workers(settings, 1, storage="postgresql://me:secret@127.0.0.1:1/none")
    with pytest.raises(TrainingError, match=r"studies in postgresql://127\.0\.0\.1:1/none") as told:
        tune(gold, lost, work=tmp_path)
    assert "secret" not in str(told.value)

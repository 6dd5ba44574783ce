"""Which trials are taken for dead, by those who can and those who cannot see their process."""

from __future__ import annotations

import subprocess
import sys

import optuna  # noqa: TID253
import pytest

from boatseg_core.training.study import recovery
from boatseg_core.training.study.process import is_gone, this_process
from boatseg_core.training.study.recovery import MAX_RETRIES, Watch, close_lost
from boatseg_core.training.study.rows import row_of

ELSEWHERE = "another-host:boot:pid/12/34"


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


def begun(study, process):
    trial = study.ask()
    trial.suggest_float("learning_rate", 0.1, 0.2)
    trial.set_user_attr("process", process)
    return trial


def test_a_process_is_told_from_one_that_has_its_number_again():
    me = this_process()
    assert is_gone(me) is False
    where, number, started = me.rsplit("/", 2)
    assert is_gone(f"{where}/{number}/{int(started) - 1}") is True
    assert is_gone(ELSEWHERE) is None and is_gone("") is None
    code = "from boatseg_core.training.study.process import this_process as t; print(t())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert is_gone(ended.stdout.strip()) is True


def test_a_trial_elsewhere_is_dead_when_it_has_been_silent(study, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    silent, speaking = begun(study, ELSEWHERE), begun(study, ELSEWHERE)
    watch = Watch(stale_seconds=60.0)
    dead = []
    for second in range(0, 100, 20):
        now[0] = float(second)
        speaking.set_user_attr("beat", second)
        dead.append([trial.number for trial in watch.dead(study.get_trials())])
    assert dead == [[], [], [], [], [silent.number]]


def test_a_validation_is_a_sign_of_life(study, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    trial, watch = begun(study, ELSEWHERE), Watch(stale_seconds=60.0)
    assert watch.dead(study.get_trials()) == []
    now[0] = 50.0
    trial.report(0.5, 1)
    assert watch.dead(study.get_trials()) == []
    now[0] = 100.0
    assert watch.dead(study.get_trials()) == []


def test_what_was_lost_is_asked_again_and_not_for_ever(study):
    first = begun(study, ELSEWHERE)
    asked = [first.params]
    for _ in range(MAX_RETRIES):
        lost = study.get_trials()[-1]
        assert close_lost(study, lost, "gone", "me")
        assert row_of(study.get_trials()[lost.number])["state"] == "lost"
        trial = study.ask()
        trial.suggest_float("learning_rate", 0.1, 0.2)
        asked.append(trial.params)
    assert all(params == asked[0] for params in asked)
    assert close_lost(study, study.get_trials()[-1], "gone", "me")
    row = row_of(study.get_trials()[-1])
    assert (row["state"], row["reason"]) == ("failed", "gone")
    assert len(study.get_trials()) == MAX_RETRIES + 1  # and nothing in the queue


def test_a_trial_that_ended_after_all_stays_as_it_ended(study):
    trial = begun(study, ELSEWHERE)
    seen = study.get_trials()[0]
    study.tell(trial, 0.5)
    assert not close_lost(study, seen, "gone", "me")
    assert [t.state.name for t in study.get_trials()] == ["COMPLETE"]


def test_killed_before_it_had_parameters_it_gets_those_of_the_queue(study):
    study.enqueue_trial({"learning_rate": 0.15})
    study.ask()
    assert close_lost(study, study.get_trials()[0], "gone", "me")
    assert study.ask().suggest_float("learning_rate", 0.1, 0.2) == 0.15

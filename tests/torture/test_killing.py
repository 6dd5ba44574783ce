"""kill -9 of the real ingestion at random instants: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.deliveries import check, deliver
from support.forks import Forks, forking
from support.homes import boatseg, write_settings

KILLS = 54
ROUNDS = 150
SEED = 20240607


@pytest.fixture
def forks() -> Iterator[Forks]:
    with forking() as server:
        yield server


def test_kills_lose_and_double_nothing(tmp_path: Path, forks: Forks) -> None:
    home, rng = tmp_path / "home", random.Random(SEED)
    write_settings(home, landing={"settle_seconds": 0}, seal={"max_files": 5})
    log = tmp_path / "log"
    files: dict[str, bytes] = {}
    killed = 0
    longest = 0.8
    for number in range(ROUNDS):
        files |= deliver(home / "landing", number, rng)
        child = forks.start("ingest", "--once", "--home", str(home), log=log)
        # Drawn so that early and late instants of a run are hit; a run that ends first is none.
        delay = rng.uniform(0.0, longest)
        time.sleep(delay)
        child.kill(signal.SIGKILL)
        status = child.wait()
        if status == -signal.SIGKILL:
            killed += 1
        else:
            assert status == 0, log.read_text()[-3000:]
        if killed == KILLS:
            break
    assert killed >= 50, f"only {killed} of {number + 1} runs were still going when killed"

    child = forks.start("ingest", "--once", "--home", str(home), log=log)
    assert child.wait() == 0, log.read_text()[-3000:]
    check(home, files)
    assert boatseg(home, "lake", "doctor", "--deep") == 0

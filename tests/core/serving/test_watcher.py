from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from service_kit import Live, Registry
from tiny_model import encoded, scene

from boatseg_core.config import Settings
from boatseg_core.inference.spec import MODEL_FILE
from boatseg_core.serving.watcher import Watcher

PICTURE = encoded(scene(boats=((10, 20, 8, 3),)))


def test_a_promotion_drops_no_request(live: Live, registry: Registry) -> None:
    """Four clients ask without a pause while the alias moves ten times."""
    stop = threading.Event()

    def ask() -> list[tuple[int, int]]:
        seen = []
        while not stop.is_set():
            answer = live.predict(PICTURE)
            # An odd version calls the boat a boat; an even one calls everything a boat.
            body = answer.json()
            seen.append((answer.status, body["model"]["version"]))
            assert body["boat_area"] == (24 if seen[-1][1] % 2 else 8000)
        return seen

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for version in range(2, 12):
                registry.add(version, cut=0.5 if version % 2 else 0.0)
                registry.promote(version)
                live.until(lambda state, v=version: state["model"]["version"] == v)
                time.sleep(0.05)
        finally:
            stop.set()
        answers = [answer for future in asking for answer in future.result()]
    assert {status for status, _ in answers} == {200}
    assert len({version for _, version in answers}) >= 9
    assert live.app.state.service.watcher.failures == 0


def test_a_version_that_cannot_be_loaded_leaves_the_old_one(live: Live, registry: Registry) -> None:
    folder = registry.add(2)
    good = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(b"rot")
    registry.promote(2)
    state = live.until(lambda state: state["error"])
    assert state["ready"]
    assert state["model"]["version"] == 1
    assert "version 2 cannot be loaded" in state["error"]
    assert "is not the graph" in state["error"]
    assert live.predict(PICTURE).json()["model"]["version"] == 1
    assert "Attention" in live.ask("GET", "/").body.decode()
    (folder / MODEL_FILE).write_bytes(good)
    live.until(lambda state: state["model"]["version"] == 2 and state["error"] is None)


def test_a_registry_that_goes_away_leaves_the_model(live: Live, settings: Settings) -> None:
    away = settings.paths.mlflow_db.with_suffix(".away")
    settings.paths.mlflow_db.rename(away)
    live.until(lambda state: state["ready"] and "no model registry" in (state["error"] or ""))
    assert live.predict(PICTURE).status == 200
    away.rename(settings.paths.mlflow_db)
    live.until(lambda state: state["error"] is None)


def test_a_broken_version_is_not_loaded_in_a_loop(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = registry.add(1)
    (folder / MODEL_FILE).write_bytes(b"rot")
    registry.promote(1)
    clock = [100.0]
    monkeypatch.setattr("boatseg_core.serving.watcher.time.monotonic", lambda: clock[0])
    watcher = Watcher(settings)
    for _ in range(1000):  # for 500 s
        watcher.look()
        clock[0] += 0.5
    assert 10 <= watcher.failures <= 20
    assert watcher.current is None


def test_an_unforeseen_failure_is_reported(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(1)
    registry.promote(1)

    def fail(folder: Path, **_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("boatseg_core.serving.watcher.Predictor.load", fail)
    watcher = Watcher(settings)
    watcher.look()
    assert watcher.error == "version 1 cannot be loaded (MemoryError)"

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from service_kit import Registry, running
from tiny_model import encoded, scene

from boatseg_core.config import Settings
from boatseg_core.lake import Lake
from boatseg_core.serving import journal
from boatseg_core.serving.journal import Entry, Journal


def entry(number: int) -> Entry:
    return Entry(f"r{number}", datetime.now(UTC), 1, 100, 80, number, 10 * number, 1.5)


def wait_for(condition: object, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_requests_are_in_the_lake_after_shutdown(settings: Settings, registry: Registry) -> None:
    registry.add(3)
    registry.promote(3)
    with running(settings) as live:
        live.until(lambda state: state["ready"])
        ids = [
            live.predict(encoded(scene(boats=((10, 20, 8, 3),)))).json()["request_id"]
            for _ in range(5)
        ]
        live.predict(b"no picture")
    rows = Lake.from_settings(settings).read("inference_log")
    assert sorted(rows["request_id"]) == sorted(ids)
    assert set(rows["model_version"]) == {3}
    assert set(rows["boat_area"]) == {24}
    assert rows["latency_ms"].min() > 0


def test_rows_are_written_together(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    writer = Journal(lake, flush_seconds=0.3)
    writer.start()
    for number in range(50):
        writer.note(entry(number))
    wait_for(lambda: writer.written == 50)
    assert lake.version("inference_log") == 1  # created, then one append
    writer.note(entry(50))
    writer.close()
    assert lake.read("inference_log").height == 51


def test_a_lake_that_is_away_for_a_while_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("in the way")
    writer = Journal(Lake(str(tmp_path / "lake")), flush_seconds=0.05)
    writer.start()
    writer.note(entry(1))
    time.sleep(0.8)
    assert writer.written == 0
    (tmp_path / "lake").unlink()
    wait_for(lambda: writer.written == 1)
    writer.close()
    assert writer.dropped == 0


def test_noting_never_waits_and_losses_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MAX_WAITING", 10)
    release = threading.Event()

    class Slow(Lake):
        def append(self, *args: object, **kwargs: object) -> int | None:
            release.wait(20)
            return super().append(*args, **kwargs)  # type: ignore[arg-type]

    writer = Journal(Slow(str(tmp_path)), flush_seconds=0.0)
    writer.start()
    writer.note(entry(0))
    time.sleep(0.3)
    started = time.perf_counter()
    for number in range(1, 101):
        writer.note(entry(number))
    assert time.perf_counter() - started < 0.1
    release.set()
    writer.close()
    assert writer.dropped + writer.written == 101
    assert writer.dropped >= 80


def test_closing_gives_up_on_a_lake_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("in the way")
    writer = Journal(Lake(str(tmp_path / "lake")), flush_seconds=60)
    writer.start()
    writer.note(entry(1))
    writer.close(timeout=10)
    assert (writer.written, writer.dropped) == (0, 1)

"""Writes served requests to the lake's ``inference_log`` without making anybody wait."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from dataclasses import asdict, dataclass
from datetime import datetime

import polars as pl

from boatseg_core.lake import Lake

log = logging.getLogger(__name__)

# Every write is a commit with files of its own: a few a minute are enough.
FLUSH_SECONDS = 10.0
FLUSH_ROWS = 1000
# Rows that wait at most, if the lake is slow or away; beyond that they are dropped and counted.
MAX_WAITING = 10_000


@dataclass(frozen=True)
class Entry:
    """One row of ``inference_log``; the fields are its columns."""

    request_id: str
    at: datetime
    model_version: int
    width: int
    height: int
    boat_count: int
    boat_area: int
    latency_ms: float


class Journal:
    """A bounded queue and a thread that empties it into the lake.

    Args:
        lake: The lake.
        flush_seconds: Longest time a row waits while the lake is well.

    Attributes:
        dropped: Rows lost because the lake could not be written for too long.
        written: Rows written.
    """

    def __init__(self, lake: Lake, *, flush_seconds: float = FLUSH_SECONDS) -> None:
        self.lake = lake
        self.dropped = 0
        self.written = 0
        self._flush_seconds = flush_seconds
        # None only wakes the thread.
        self._waiting: queue.Queue[Entry | None] = queue.Queue(MAX_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="boatseg-journal", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def note(self, entry: Entry) -> None:
        """Take a row; never waits."""
        try:
            self._waiting.put_nowait(entry)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout: float = 30.0) -> None:
        """Write what is left and stop.

        Args:
            timeout: Most seconds to wait for the lake.
        """
        self._closing.set()
        with contextlib.suppress(queue.Full):  # then the thread is not waiting for a row
            self._waiting.put_nowait(None)
        self._thread.join(timeout)
        left = self._waiting.qsize()
        if left and self._thread.is_alive():
            self.dropped += left
            log.warning("%d rows of inference_log were not written before the service ended", left)

    def _run(self) -> None:
        rows: list[Entry] = []
        due = 0.0
        while True:
            closing = self._closing.is_set()
            entry = self._next(rows, due, closing)
            if entry is not None:
                if not rows:
                    due = time.monotonic() + self._flush_seconds
                rows.append(entry)
                if len(rows) < FLUSH_ROWS and (closing or time.monotonic() < due):
                    continue
            if rows and (closing or len(rows) >= FLUSH_ROWS or time.monotonic() >= due):
                if self._write(rows):
                    rows = []
                elif closing:
                    self.dropped += len(rows)
                    rows = []
                else:  # wait for the lake; what arrives meanwhile is bounded by the queue
                    due = time.monotonic() + self._flush_seconds
                    self._closing.wait(self._flush_seconds)
            if closing and not rows and self._waiting.empty():
                return

    def _next(self, rows: list[Entry], due: float, closing: bool) -> Entry | None:
        """Wait for a row until those at hand are due; None where none came."""
        if len(rows) >= FLUSH_ROWS:
            return None
        try:
            if closing:
                return self._waiting.get_nowait()
            return self._waiting.get(timeout=max(0.0, due - time.monotonic()) if rows else None)
        except queue.Empty:
            return None

    def _write(self, rows: list[Entry]) -> bool:
        frame = pl.DataFrame([asdict(row) for row in rows])
        try:
            self.lake.append("inference_log", frame)
        except Exception as error:  # the lake's trouble must not end the service
            log.warning("%d rows of inference_log cannot be written now: %s", len(rows), error)
            return False
        self.written += len(rows)
        return True

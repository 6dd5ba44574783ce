"""What the service does with a request, apart from HTTP."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from boatseg_core.errors import ImageError
from boatseg_core.lake import Lake
from boatseg_core.serving import answers
from boatseg_core.serving.body import Body, picture_of
from boatseg_core.serving.errors import Refusal
from boatseg_core.serving.journal import Entry, Journal
from boatseg_core.serving.telemetry import Telemetry
from boatseg_core.serving.watcher import Watcher

if TYPE_CHECKING:
    from boatseg_core.config import Settings

# One forward pass uses every core already; the second worker decodes and encodes beside it.
WORKERS = 2
# Requests that wait for a worker at most, their bodies in memory.
QUEUE = 16


@dataclass(frozen=True)
class Arrival:
    """A request's name and when it came."""

    request_id: str
    at: datetime
    clock: float

    @classmethod
    def now(cls) -> Arrival:
        """Note that a request came."""
        return cls(uuid.uuid4().hex, datetime.now(UTC), time.perf_counter())


class Service:
    """Model, workers, request log and counters of one process.

    Args:
        settings: The settings.

    Attributes:
        in_flight: Requests being read, waiting or predicted.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.watcher = Watcher(settings)
        self.journal = Journal(Lake.from_settings(settings))
        self.telemetry = Telemetry()
        self.in_flight = 0
        self._pool = ThreadPoolExecutor(WORKERS, "boatseg-predict")

    def start(self) -> None:
        """Start the background threads."""
        self.watcher.start()
        self.journal.start()

    async def stop(self) -> None:
        """Finish what was begun, write the log, and end the background threads."""

        def finish() -> None:
            self._pool.shutdown(wait=True)
            self.watcher.stop()
            self.journal.close()

        await asyncio.to_thread(finish)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue; only ever called on the event loop, so it needs no lock.

        The place is taken before the body is read, which bounds the memory of all bodies together.

        Raises:
            Refusal: There is none left.
        """
        if self.in_flight >= WORKERS + QUEUE:
            raise Refusal(
                503, "busy", "too many requests are waiting: try again", {"retry-after": "1"}
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def predict(self, body: Body, arrival: Arrival) -> bytes:
        """Answer a request with JSON.

        Raises:
            Refusal: The picture cannot be read, or there is no model yet.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._predict, body, arrival)

    def _predict(self, body: Body, arrival: Arrival) -> bytes:
        model = self.watcher.current  # kept for the whole request, whatever is promoted meanwhile
        if model is None:
            raise Refusal(
                503,
                "no_model",
                f"no model is loaded yet: {self.watcher.error}",
                {"retry-after": str(max(1, round(self.settings.serve.refresh_seconds)))},
            )
        started = time.perf_counter()
        picture, with_mask = picture_of(body)
        (prediction,) = model.predictor.predict([picture])
        if isinstance(prediction, ImageError):
            raise Refusal.of_image(prediction)
        ended = time.perf_counter()
        answer = answers.build(
            prediction,
            request_id=arrival.request_id,
            model=model.ref,
            class_name=model.predictor.spec.class_name,
            with_mask=with_mask,
            wait_ms=1e3 * (started - arrival.clock),
            predict_ms=1e3 * (ended - started),
        )
        seconds = time.perf_counter() - arrival.clock
        self.telemetry.observe(seconds, prediction.boat_count)
        self.journal.note(
            Entry(
                request_id=arrival.request_id,
                at=arrival.at,
                model_version=model.ref.version,
                width=prediction.width,
                height=prediction.height,
                boat_count=prediction.boat_count,
                boat_area=prediction.boat_area,
                latency_ms=1e3 * seconds,
            )
        )
        return answer.model_dump_json(exclude_none=True).encode()

    def metrics(self) -> str:
        """Everything countable, for Prometheus."""
        current = self.watcher.current
        return self.telemetry.text(
            {
                "boatseg_in_flight": ("gauge", "Requests being answered.", self.in_flight),
                "boatseg_model_version": (
                    "gauge",
                    "Version in force; 0 before one is loaded.",
                    current.ref.version if current else 0,
                ),
                "boatseg_model_load_failures_total": (
                    "counter",
                    "Versions that could not be loaded.",
                    self.watcher.failures,
                ),
                "boatseg_log_rows_total": (
                    "counter",
                    "Rows written to inference_log.",
                    self.journal.written,
                ),
                "boatseg_log_dropped_total": (
                    "counter",
                    "Rows that inference_log lost.",
                    self.journal.dropped,
                ),
            }
        )

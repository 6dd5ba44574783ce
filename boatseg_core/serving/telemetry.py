"""Counters of the service in the Prometheus text format.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4).
"""

from __future__ import annotations

import threading
from collections import Counter

_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """What the service has done so far; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[int] = Counter()
        self._latencies: Counter[int] = Counter()
        self._seconds = 0.0
        self._boats = 0

    def count(self, status: int) -> None:
        """Count an answer of ``/predict`` by its status."""
        with self._lock:
            self._requests[status] += 1

    def observe(self, seconds: float, boats: int) -> None:
        """Count a prediction.

        Args:
            seconds: From the request's arrival to the answer.
            boats: Objects found.
        """
        bucket = next((at for at, top in enumerate(_BUCKETS) if seconds <= top), len(_BUCKETS))
        with self._lock:
            self._latencies[bucket] += 1
            self._seconds += seconds
            self._boats += boats

    def text(self, gauges: dict[str, tuple[str, str, float]]) -> str:
        """Render everything.

        Args:
            gauges: More metrics: name to type, help and value.
        """
        with self._lock:
            requests, latencies = dict(self._requests), dict(self._latencies)
            seconds, boats = self._seconds, self._boats
        lines = _head("boatseg_requests_total", "counter", "Answers of /predict by status.")
        lines += [
            f'boatseg_requests_total{{status="{status}"}} {number}'
            for status, number in sorted(requests.items())
        ]
        name = "boatseg_latency_seconds"
        lines += _head(name, "histogram", "Seconds from a request's arrival to its prediction.")
        total = 0
        for at, top in enumerate((*_BUCKETS, float("inf"))):
            total += latencies.get(at, 0)
            edge = "+Inf" if top == float("inf") else f"{top:g}"
            lines.append(f'{name}_bucket{{le="{edge}"}} {total}')
        lines += [f"{name}_sum {seconds:.6f}", f"{name}_count {total}"]
        more = {"boatseg_objects_total": ("counter", "Objects found.", float(boats)), **gauges}
        for name, (kind, sentence, value) in more.items():
            lines += [*_head(name, kind, sentence), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, sentence: str) -> list[str]:
    return [f"# HELP {name} {sentence}", f"# TYPE {name} {kind}"]

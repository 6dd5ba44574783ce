"""Functions for child processes, which cannot import a test module."""

from __future__ import annotations

from boatseg_core.config import load_settings
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake


def seal_in_process(home: str) -> dict[str, int]:
    settings = load_settings(home=home, landing={"settle_seconds": 0})
    return seal(Lake.from_settings(settings), settings).batches


def tick_and_die(home: str, dagster: str) -> None:
    """Look like the sensor does, and be killed once the new files are sealed."""
    import os
    import signal

    import dagster as dg

    from boatseg_dagster import sensors
    from boatseg_dagster.resources import Boatseg

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    sensors.new_partitions = die  # type: ignore[assignment]
    with dg.DagsterInstance.local_temp(dagster) as instance:
        sensors.look(instance, Boatseg(home=home), warn=print)

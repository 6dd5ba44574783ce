"""Functions for child processes, which cannot import a test module."""

from __future__ import annotations

from boatseg_core.config import load_settings
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake


def seal_in_process(home: str) -> dict[str, int]:
    settings = load_settings(home=home, landing={"settle_seconds": 0})
    return seal(Lake.from_settings(settings), settings).batches

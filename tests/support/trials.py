"""Trainings for studies with real processes: quick, endless, or deadly. Spawned by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from boatseg_core.config import Settings, load_settings


def _entry(chosen: Any, epoch: int, last: int, value: float) -> dict[str, float]:
    return {
        "step": chosen.max_steps * epoch / last,
        "epoch": epoch,
        "score": value * epoch / last,
        "valid_boat_iou": value,
        "valid_per_image_iou": 0.5 + value * epoch / last,
        "valid_floor_per_image_iou": 0.5,
    }


def _go(chosen: Any, on_epoch: Any, callbacks: Any, pause: float, last: int) -> None:
    value = 0.4 - abs(chosen.positive_share - 0.6)
    for epoch in range(1, last + 1):
        time.sleep(pause)
        entry = _entry(chosen, epoch, last, value)
        on_epoch(entry)
        for callback in callbacks:
            callback.judged(entry)


def quick(
    gold: Any,
    settings: Settings,
    chosen: Any,
    *,
    work: Path,
    on_epoch: Any,
    progress: bool,
    callbacks: Any,
) -> None:
    """Three validations in a tenth of a second; the best share of crops near objects is 0.6."""
    _go(chosen, on_epoch, callbacks, 0.03, 3)


def endless(
    gold: Any,
    settings: Settings,
    chosen: Any,
    *,
    work: Path,
    on_epoch: Any,
    progress: bool,
    callbacks: Any,
) -> None:
    """Validations without end."""
    work.mkdir(parents=True, exist_ok=True)
    (settings.paths.root / f"running-{os.getpid()}").touch()
    _go(chosen, on_epoch, callbacks, 0.2, 100_000)


def deadly_once(
    gold: Any,
    settings: Settings,
    chosen: Any,
    *,
    work: Path,
    on_epoch: Any,
    progress: bool,
    callbacks: Any,
) -> None:
    """The first to come is killed after its first validation, as by want of memory."""
    try:
        (settings.paths.root / "victim").touch(exist_ok=False)
    except FileExistsError:
        _go(chosen, on_epoch, callbacks, 0.03, 3)
    else:
        on_epoch(_entry(chosen, 1, 3, 0.1))
        os.kill(os.getpid(), signal.SIGKILL)


def deadly(
    gold: Any,
    settings: Settings,
    chosen: Any,
    *,
    work: Path,
    on_epoch: Any,
    progress: bool,
    callbacks: Any,
) -> None:
    """Nobody survives it."""
    os.kill(os.getpid(), signal.SIGKILL)


def study(home: str, version: int, workers: int) -> None:
    """Run an endless study, the way a command does; started as a program of its own."""
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.lake import Lake
    from boatseg_core.training import tune as module

    module.fit = endless  # type: ignore[assignment]
    settings = load_settings(home=home, tune=space(workers))
    gold = GoldDataset(Lake.from_settings(settings), version)
    try:
        module.tune(gold, settings, work=Path(home) / "work")
    except KeyboardInterrupt:
        sys.exit(130)


def space(workers: int) -> dict[str, Any]:
    """A study of four trials."""
    return {
        "trials": 4,
        "steps": 6,
        "workers": workers,
        "pruner": "none",
        "crops": (64,),
        "max_seconds": 600.0,  # processes start slowly on a busy machine
    }


if __name__ == "__main__":
    # Tests interrupt it as a terminal does. What a shell starts in the background ignores that,
    # and so would everything started from there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    study(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

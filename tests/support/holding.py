"""A process that holds the lock of a journal until it is killed."""

from __future__ import annotations

import time
from pathlib import Path


def hold(file: str, held: str) -> None:
    """Take the lock, say so by a file, and never give it back."""
    from boatseg_core.training.study.storage import ProcessLock

    ProcessLock(file).acquire()
    Path(held).touch()
    time.sleep(600)

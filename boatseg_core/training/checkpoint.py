"""Checkpoints as files that are whole, or not there. Importing it is cheap; torch comes later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from boatseg_core.errors import TrainingError


def write_whole(data: Any, path: Path) -> None:
    """Write what torch can so that a kill leaves the old file or the new one.

    Raises:
        TrainingError: The disk is full, or cannot be written to for another reason.
    """
    import torch

    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # By a file of Python's: torch's own says of a full disk that a position is unexpected.
        with part.open("wb") as file:
            torch.save(data, file)
        part.replace(path)
    except Exception as error:
        part.unlink(missing_ok=True)  # it may be what fills the disk
        cause = failure_of_disk(error)
        if cause is None:
            raise
        raise TrainingError(not_written(path, cause)) from error


def not_written(path: Path, error: OSError) -> str:
    """Say in a sentence what to do about a file of a training that could not be written."""
    return (
        f"{path} cannot be written ({error.strerror or error}): make room there and start the "
        "training again; it goes on from its last checkpoint"
    )


def failure_of_disk(error: BaseException | None) -> OSError | None:
    """The error of the operating system that another one followed from, if there is one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error

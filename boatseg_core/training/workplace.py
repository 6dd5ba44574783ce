"""Folders that trainings work in: the same for the same training, and never two in one."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workplace:
    """A folder to train in.

    Attributes:
        folder: May hold what a killed training of the same name left.
        resume: Whether to look for that; false where the folder is nobody else's.
    """

    folder: Path
    resume: bool


@contextmanager
def claim(parent: Path, name: str, otherwise: str) -> Iterator[Workplace]:
    """Claim the folder of a training, for as long as the block lasts.

    The claim is a lock of the operating system, which a killed process gives back by dying.

    Args:
        parent: Folder of all trainings; created.
        name: Of the training; the same settings and data have the same.
        otherwise: Name of a folder of its own, for when the same training runs already: two at
            once must not register each other's weights.

    Yields:
        The folder, not yet created.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield Workplace(parent / otherwise, resume=False)
        else:
            yield Workplace(parent / name, resume=True)

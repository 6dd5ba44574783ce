"""Which part of an epoch is ours: the rank among training processes, the worker within a loader.

torch is asked only if somebody has imported it: the loader itself needs none.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from boatseg_core.dataset.loader.options import Options, check_rank
from boatseg_core.errors import InputError


@dataclass(frozen=True, slots=True)
class Place:
    """A reader among all that share an epoch.

    Attributes:
        rank: Training process.
        world_size: Number of them.
        worker: Worker process of a torch ``DataLoader``.
        workers: Number of them; 1 where there is no ``DataLoader``.
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    workers: int = 1

    @property
    def first(self) -> int:
        """First batch of the epoch that is ours."""
        return self.rank + self.world_size * self.worker

    @property
    def stride(self) -> int:
        """From one of our batches to the next. A loader deals its workers' batches in turn."""
        return self.world_size * self.workers

    @property
    def threads(self) -> int:
        """Cores that are ours, if all readers on this machine decode at the same time."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        siblings = self.workers * _number("LOCAL_WORLD_SIZE", 1)
        return max(1, (cores or os.cpu_count() or 1) // siblings)


def find(options: Options) -> Place:
    """Find our place: as asked, else of torch.distributed, else of the launcher's environment.

    Raises:
        InputError: ``RANK`` and ``WORLD_SIZE`` do not fit.
    """
    rank, world_size = _rank(options)
    check_rank(rank, world_size)
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    if info is None:
        return Place(rank, world_size)
    return Place(rank, world_size, info.id, info.num_workers)


def _rank(options: Options) -> tuple[int, int]:
    if options.rank is not None and options.world_size is not None:
        return options.rank, options.world_size
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _number("RANK", 0), _number("WORLD_SIZE", 1)
    return 0, 1


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise InputError(f"the variable {name} is {text!r}, it has to be a whole number") from None

"""One of the processes that train together, and what they tell each other.

Importing this module is cheap; torch comes with the functions.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import BoatsegError

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.config.sections import Train

# A rank that hangs in a collective gives up then. Decoding and a step in between take seconds,
# writing a checkpoint or telling a validation some more.
_TIMEOUT = timedelta(minutes=15)


@dataclass(frozen=True)
class Job:
    """What a rank needs to train; it travels to a spawned process.

    Attributes:
        settings: The settings.
        root: Root of the lake.
        version: Delta version of gold.
        chosen: The settings of the training, with this rank's share of the threads.
        work: Folder of the training; the first rank alone writes there.
        resume: Whether to go on from what is kept there.
        world: Number of ranks.
        meeting: File through which the ranks find each other.
        backend: ``gloo`` or ``nccl``.
        threads: Threads of a rank's computation on a CPU.
    """

    settings: Settings
    root: str
    version: int
    chosen: Train
    work: Path
    resume: bool
    world: int
    meeting: Path
    backend: str
    threads: int


def run_rank(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Train as one of the other ranks; the target of a spawned process.

    Sends ``("ready",)``, and before it fails ``("failed", reason, sentence)``, or ``("broke", "",
    sentence)`` where that may only be the echo of what another rank failed with.

    Args:
        pipe: To the first rank.
        job: What to do.
        rank: Which rank this is, from 1.
        parent: Process number of the first rank.
    """
    # Ctrl-C reaches every process of a terminal: the first rank alone decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(job.threads)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    logging.basicConfig(level=logging.ERROR)
    try:
        _train(pipe, job, rank)
    except BoatsegError as error:
        pipe.send(("failed", getattr(error, "reason", ""), str(error)))
        os._exit(1)  # the first rank is told; a traceback beside its sentence would not help
    except Exception as error:
        sentence = f"process {rank + 1} of the training failed: {type(error).__name__}: {error}"
        pipe.send(("broke", "", sentence))
        raise


def _train(pipe: Connection, job: Job, rank: int) -> None:
    import torch

    from boatseg_core.dataset import GoldDataset
    from boatseg_core.lake import Lake
    from boatseg_core.training import model  # noqa: F401  # what takes long, before the others wait
    from boatseg_core.training.fit import fit_rank

    torch.set_num_threads(job.threads)
    gold = GoldDataset(Lake(job.root, job.settings.storage_options), job.version)
    pipe.send(("ready",))
    with member(job, rank):
        fit_rank(gold, job.settings, job.chosen, work=job.work, resume=job.resume)


@contextmanager
def member(job: Job, rank: int) -> Iterator[None]:
    """Belong to the process group of a training inside the block."""
    import torch
    from torch import distributed

    # The ranks are on one machine; what its host name resolves to is of no interest.
    name, device = "GLOO_SOCKET_IFNAME", "lo"
    ours = name not in os.environ and Path(f"/sys/class/net/{device}").exists()
    if ours:
        os.environ[name] = device
    try:
        if job.backend == "nccl":
            torch.cuda.set_device(rank)
        distributed.init_process_group(
            job.backend,
            init_method=f"file://{job.meeting}",
            rank=rank,
            world_size=job.world,
            timeout=_TIMEOUT,
        )
        yield
    finally:
        if ours:
            del os.environ[name]
        if distributed.is_initialized():
            distributed.destroy_process_group()


def abort() -> None:
    """Make what the process group is waiting for fail; gloo's operations do so by themselves."""
    from torch import distributed

    if distributed.is_initialized() and distributed.group.WORLD is not None:
        distributed.group.WORLD.abort()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def place() -> tuple[int, int]:
    """This process's rank, and the number of ranks; 0 and 1 outside of :func:`together`."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def of_all(mine: Any) -> list[Any]:
    """What each rank has, by rank; every rank has to ask at the same point."""
    from torch import distributed

    _, world = place()
    if world == 1:
        return [mine]
    found: list[Any] = [None] * world
    distributed.all_gather_object(found, mine)
    return found

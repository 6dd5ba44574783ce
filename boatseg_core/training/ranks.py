"""One training in several processes of this machine (DDP): this process is the first of them.

Each rank runs the same :func:`boatseg_core.training.fit.fit`. The first is the process that was
asked to train: its callbacks, its MLflow run and its files are the only ones. The others are
spawned here, say over a pipe why they failed, and are gone when the training ends, however it ends.
Neither torchrun nor a relaunch of the command is involved, so that a notebook, the command line
and Dagster all train the same way. Importing this module is cheap.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING

from boatseg_core.errors import ImageError, TrainingError
from boatseg_core.training.rank import Job, abort, member, run_rank

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from boatseg_core.config import Settings
    from boatseg_core.config.sections import Train
    from boatseg_core.dataset import GoldDataset

_START = 300.0  # s; for a rank to import torch and read the table's log
_LAST_WORDS = 10.0  # s; for a rank whose connection broke to say why
_PATIENCE = 5.0  # s; for a rank to end by itself
_LOOK = 1.0  # s; between two looks at whether all ranks are there
_NOTICE = 20.0  # s; for this process to notice by itself that a rank is gone


def device_kind(train: Train) -> str:
    """Tell what computes, ``cuda`` or ``cpu``.

    Raises:
        TrainingError: There are fewer devices than are asked for.
    """
    import torch

    there = torch.cuda.device_count()
    kind = train.device if train.device != "auto" else ("cuda" if there else "cpu")
    if kind == "cuda" and not there:
        raise TrainingError("train.device is cuda, but torch finds no GPU here: set it to auto")
    if kind == "cuda" and train.devices > there:
        raise TrainingError(
            f"train.devices is {train.devices}, but this machine has {there} "
            f"GPU{'s' if there > 1 else ''}: set it to {there}"
        )
    return kind


def check_launch(train: Train) -> None:
    """Refuse to start processes from one that another launcher has started.

    Raises:
        TrainingError: It has, or torch cannot train in parallel.
    """
    import torch

    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise TrainingError(
            f"this process was started as one of {os.environ['WORLD_SIZE']} (WORLD_SIZE is set, "
            "as torchrun does): start the training once, without a launcher, and set train.devices "
            "to the number of processes; they are started from here, on this machine"
        )
    if train.devices > 1:
        if not torch.distributed.is_available():
            raise TrainingError(
                "this build of torch cannot train in parallel: set train.devices to 1"
            )
        if multiprocessing.current_process().daemon:
            raise TrainingError(
                f"train.devices is {train.devices}, but a worker of a study trains on one: set "
                "train.devices or tune.workers to 1"
            )
        if torch.distributed.is_initialized():
            raise TrainingError(
                "this process already belongs to a process group of torch.distributed: train with "
                "train.devices above 1 in a process of its own"
            )


@contextmanager
def together(
    gold: GoldDataset, settings: Settings, chosen: Train, *, work: Path, resume: bool
) -> Iterator[Train]:
    """Have ``chosen.devices`` processes train, this one being the first.

    Inside the block this process is rank 0 of a process group. What ends the training here ends it
    everywhere; what ended it elsewhere is raised here.

    Args:
        gold: The data.
        settings: The settings.
        chosen: The settings of the training.
        work: Folder of the training.
        resume: Whether to go on from what is kept there.

    Yields:
        The settings of the training for this process.

    Raises:
        TrainingError: The devices are not there, or a rank failed.
        ImageError: A rank met an image that does not decode.
    """
    kind = device_kind(chosen)
    check_launch(chosen)
    if chosen.devices == 1:
        yield chosen
        return
    import torch

    before = torch.get_num_threads()
    with tempfile.TemporaryDirectory(prefix="boatseg-ranks-") as folder:
        cores = os.cpu_count() or 1
        share = chosen.threads or max(1, cores // chosen.devices)
        job = Job(
            settings=settings,
            root=gold.lake.root,
            version=gold.version,
            chosen=chosen.model_copy(update={"threads": share}),
            work=work,
            resume=resume,
            world=chosen.devices,
            meeting=Path(folder) / "meeting",
            backend="nccl" if kind == "cuda" else "gloo",
            threads=max(1, before // chosen.devices),
        )
        others = _Others(job)
        try:
            others.wait_until_ready()
            torch.set_num_threads(job.threads)
            with ExitStack() as stack:
                try:
                    stack.enter_context(member(job, 0))
                    with others.watched():
                        yield job.chosen
                except RuntimeError as error:
                    # A connection that broke has its reason at the other end. It is asked for as
                    # long as we are in the group: those who merely wait for us say nothing.
                    others.explain(error)
                    raise
            others.finish()
        finally:
            torch.set_num_threads(before)
            others.close()


class _Broke(TrainingError):
    """A rank failed with what no user can act on: its own failure, or that of one it talks to."""


class _Others:
    """All ranks but the first."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self._ranks: list[tuple[SpawnProcess, Connection]] = []
        try:
            for rank in range(1, job.world):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=run_rank,
                    args=(theirs, job, rank, os.getpid()),
                    name=f"boatseg-rank-{rank}",
                    daemon=True,  # an unfinished exit of this process takes them along
                )
                process.start()
                theirs.close()
                self._ranks.append((process, ours))
        except BaseException:
            self.close()
            raise

    def wait_until_ready(self) -> None:
        """Wait until every rank has imported what it needs: whoever meets then meets at once."""
        until = time.monotonic() + _START
        for number, (process, pipe) in enumerate(self._ranks, 1):
            wait_for([pipe, process.sentinel], timeout=max(0.0, until - time.monotonic()))
            try:
                ready = pipe.poll() and self._hear(pipe)
            except EOFError:
                ready = False
            if not ready:
                process.join(_PATIENCE)  # its files are closed before it is gone
                how = "is not ready" if process.is_alive() else _ending(process)
                raise TrainingError(
                    f"process {number + 1} of {len(self._ranks) + 1} of the training {how}: "
                    "set train.devices to 1 to train without it"
                )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """End this process's waiting for ranks that are gone, inside the block.

        Of gloo a connection breaks, which is noticed at once. The kernels of nccl would wait on,
        until its watchdog ends the whole process after the group's timeout.
        """
        left = threading.Event()
        watch = threading.Thread(target=self._watch, args=(left,), name="watch-ranks", daemon=True)
        watch.start()
        try:
            yield
        finally:
            left.set()
            watch.join()

    def _watch(self, left: threading.Event) -> None:
        alive = {process.sentinel: process for process, _ in self._ranks}
        while alive and not left.wait(_LOOK):
            for sentinel in wait_for(list(alive), timeout=0):
                assert isinstance(sentinel, int)
                if _failed(alive.pop(sentinel)) and not left.wait(_NOTICE):
                    abort()
                    return

    def finish(self) -> None:
        """Wait for the ends of all; a rank has nothing to do after its last validation."""
        for process, pipe in self._ranks:
            process.join(_PATIENCE + _LAST_WORDS)
            with suppress(EOFError):
                while pipe.poll():
                    self._hear(pipe)

    def explain(self, error: BaseException) -> None:
        """Raise what a rank failed with, if one did; an echo only where nobody says more."""
        until = time.monotonic() + _LAST_WORDS
        pipes = {pipe: process for process, pipe in self._ranks}
        echo: _Broke | None = None
        while pipes and (left := until - time.monotonic()) > 0:
            for pipe in wait_for(list(pipes), timeout=left):
                assert isinstance(pipe, Connection)
                process = pipes.pop(pipe)
                try:
                    self._hear(pipe)
                except _Broke as broke:
                    echo = echo or broke
                except EOFError:
                    process.join(_PATIENCE)
                    if process.exitcode:
                        raise TrainingError(
                            f"a process of the training {_ending(process)}; with "
                            "train.devices set to 1 the training needs no other"
                        ) from error
        if echo is not None:
            raise echo from error

    def close(self) -> None:
        """End whatever still runs."""
        for process, _ in self._ranks:
            if process.is_alive():
                process.terminate()
        until = time.monotonic() + _PATIENCE
        for process, pipe in self._ranks:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()
        self._ranks.clear()

    def _hear(self, pipe: Connection) -> bool:
        """Read a message; true for a rank that is ready."""
        kind, *told = pipe.recv()
        if kind == "ready":
            return True
        reason, sentence = told
        if kind == "broke":
            raise _Broke(sentence)
        raise ImageError(reason, sentence) if reason else TrainingError(sentence)


def _ending(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    if code == -signal.SIGKILL:
        return "was killed, as happens when memory runs out"
    return f"ended with {f'signal {-code}' if code < 0 else f'code {code}'}"


def _failed(process: SpawnProcess) -> bool:
    """Whether a process that is gone did not end well; its end is left for others to read."""
    assert process.pid is not None
    try:
        end = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # read already
        return process.exitcode != 0
    return end is not None and end.si_status != 0

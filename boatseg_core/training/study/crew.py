"""Those who run the trials: this process, or workers that may die without taking the study along.

Both are used the same way: ``free()`` trials may be given, ``give()`` them, ``wait()`` for events.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import TYPE_CHECKING, Protocol

from boatseg_core.errors import TrainingError
from boatseg_core.training.study import worker as worker_module
from boatseg_core.training.study.trial import Task, Workshop, run_trial

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    import optuna

    from boatseg_core.dataset import GoldDataset
    from boatseg_core.training.result import Entry

_PATIENCE = 5.0  # s; for a worker to end by itself
_STILLBORN = 3  # workers that die before they are ready, until something else must be wrong


class Events(Protocol):
    """Who is told what happens."""

    def validated(self, number: int, entry: Entry) -> None:
        """A trial was validated."""

    def ended(self, number: int) -> None:
        """A trial has ended, as the study says."""

    def died(self, number: int, reason: str) -> None:
        """The process of a trial is gone."""


class Crew(Protocol):
    """Runs trials."""

    def free(self) -> int:
        """Trials that may be given now."""

    def give(self, task: Task) -> None:
        """Begin a trial."""

    def wait(self, seconds: float, events: Events) -> None:
        """Wait for something to happen and tell it."""

    def close(self) -> None:
        """End whatever still runs."""


class Alone:
    """Runs one trial after the other in this process.

    Args:
        shop: What all trials have in common.
        study: The study.
        gold: The data.
    """

    def __init__(self, shop: Workshop, study: optuna.Study, gold: GoldDataset) -> None:
        self._shop, self._study, self._gold = shop, study, gold
        self._tasks: list[Task] = []

    def free(self) -> int:
        """One, unless it waits already."""
        return 1 - len(self._tasks)

    def give(self, task: Task) -> None:
        """Keep the trial for :meth:`wait`."""
        self._tasks.append(task)

    def wait(self, seconds: float, events: Events) -> None:
        """Run the trial; without one, wait."""
        if not self._tasks:
            time.sleep(seconds)
            return
        task = self._tasks.pop()
        run_trial(task, self._shop, self._study, self._gold, on_epoch=events.validated)
        events.ended(task.number)

    def close(self) -> None:
        """Nothing runs beside this process."""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    task: Task | None = None


class Workers:
    """Runs trials in processes of their own, which are replaced when they die.

    Args:
        shop: What all trials have in common.
        count: How many; the cores are shared out among them.
        target: What a worker runs.
    """

    def __init__(
        self, shop: Workshop, count: int, target: Callable[..., None] = worker_module.main
    ) -> None:
        self._shop, self._target = shop, target
        self._context = multiprocessing.get_context("spawn")
        self._threads = max(1, (os.cpu_count() or 1) // count)
        self._stillborn = 0
        self._workers: list[_Worker] = []
        try:
            for _ in range(count):
                self._hire()
        except BaseException:
            self.close()
            raise

    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [worker.process.pid or 0 for worker in self._workers]

    def free(self) -> int:
        """Workers that are ready and have nothing to do."""
        return sum(worker.ready and worker.task is None for worker in self._workers)

    def give(self, task: Task) -> None:
        """Hand a trial to the next free worker."""
        chosen = next(w for w in self._workers if w.ready and w.task is None)
        chosen.task = task
        with suppress(OSError):  # it died just now: the next wait finds out
            chosen.pipe.send(task)

    def wait(self, seconds: float, events: Events) -> None:
        """Wait for messages and deaths."""
        pipes = {worker.pipe: worker for worker in self._workers}
        ends = {worker.process.sentinel: worker for worker in self._workers}
        happened = wait_for([*pipes, *ends], timeout=seconds)
        for worker in list(self._workers):
            if worker.pipe in happened or worker.process.sentinel in happened:
                self._listen(worker, events)
            # What it said before it died has been heard by now.
            if worker.process.sentinel in happened:
                self._bury(worker, events)

    def close(self) -> None:
        """Tell those at rest to go home, and end the others."""
        for worker in self._workers:
            try:
                if worker.task is None and worker.ready:
                    worker.pipe.send(None)
                else:
                    worker.process.terminate()
            except OSError:
                pass  # it is gone already
        until = time.monotonic() + _PATIENCE
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _hire(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=self._target,
            args=(theirs, self._shop, self._threads, os.getpid()),
            name="boatseg-tune",
            daemon=True,  # an unfinished exit of this process takes them along
        )
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _listen(self, worker: _Worker, events: Events) -> None:
        try:
            while worker.pipe.poll():
                kind, *told = worker.pipe.recv()
                if kind == "ready":
                    worker.ready, self._stillborn = True, 0
                elif kind == "validated":
                    events.validated(*told)
                elif kind == "ended":
                    worker.task = None
                    events.ended(*told)
                else:
                    raise TrainingError(told[0])
        except (EOFError, ConnectionResetError):
            pass  # its end is found by its sentinel

    def _bury(self, worker: _Worker, events: Events) -> None:
        worker.process.join()
        code = worker.process.exitcode or 0
        self._workers.remove(worker)
        worker.pipe.close()
        reason = f"its process ended with {f'signal {-code}' if code < 0 else f'code {code}'}"
        if code == -9:
            reason += ", as it does when memory runs out"
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise TrainingError(
                    f"{self._stillborn} workers of the study died before they could start, the "
                    f"last one: {reason}; set tune.workers to 1 to see what is wrong"
                )
        if worker.task is not None:
            events.died(worker.task.number, reason)
        self._hire()

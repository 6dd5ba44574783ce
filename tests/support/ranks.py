"""Ranks that write down what they see, and ranks that fail; targets of spawned processes."""

from __future__ import annotations

import json
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from boatseg_core.training.rank import Job, run_rank


def recorded(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Train as the product does, and keep what was seen beside the training's folder."""
    record(job.work.parent, rank)
    run_rank(pipe, job, rank, parent)


def record(folder: Path, rank: int) -> None:
    """From here on keep what this process sees, and a sum over its weights, in a file."""
    from boatseg_core.training import callbacks
    from boatseg_core.training.model import Segmenter

    seen: dict[str, Any] = {"crops": [], "whole": [], "history": [], "weights": []}
    step, look = Segmenter.training_step, Segmenter.validation_step
    judged = callbacks.Judge.on_validation_end

    def training_step(self: Any, batch: Any, index: int) -> Any:
        seen["crops"].append(batch.image_ids)
        return step(self, batch, index)

    def validation_step(self: Any, batch: Any, index: int) -> None:
        seen["whole"] += batch.image_ids
        look(self, batch, index)

    def on_validation_end(self: Any, trainer: Any, module: Any) -> None:
        judged(self, trainer, module)
        seen["history"] = [{k: v for k, v in e.items() if k != "seconds"} for e in self.history]
        state = module.network.state_dict()
        seen["weights"].append(float(sum(v.double().abs().sum() for v in state.values())))
        (folder / f"rank-{rank}.json").write_text(json.dumps(seen))

    Segmenter.training_step = training_step  # type: ignore[method-assign]
    Segmenter.validation_step = validation_step  # type: ignore[method-assign]
    callbacks.Judge.on_validation_end = on_validation_end  # type: ignore[method-assign]


def unlucky(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Meet an image that does not decode."""
    pipe.send(("ready",))
    pipe.send(("failed", "truncated", "gold image scene-3.png: the file ends early"))
    os._exit(1)


def echo(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Find that another rank is gone."""
    pipe.send(("ready",))
    pipe.send(("broke", "", f"process {rank + 1} of the training failed: RuntimeError: Connection"))
    os._exit(1)


def echo_and_failure(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Find that another rank is gone, or be that rank."""
    if rank == 1:
        echo(pipe, job, rank, parent)
    pipe.send(("ready",))
    time.sleep(0.5)
    pipe.send(("failed", "truncated", "gold image scene-3.png: the file ends early"))
    os._exit(1)


def killed(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Be killed in the middle, as by want of memory."""
    pipe.send(("ready",))
    os.kill(os.getpid(), signal.SIGKILL)


def killed_between_steps(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Train, and be killed before the second step, which the others wait for."""
    from boatseg_core.training.model import Segmenter

    step = Segmenter.training_step

    def training_step(self: Any, batch: Any, index: int) -> Any:
        if self.trainer.global_step == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, index)

    Segmenter.training_step = training_step  # type: ignore[method-assign]
    run_rank(pipe, job, rank, parent)


def done(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Have nothing to do."""
    pipe.send(("ready",))


def stillborn(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Never get ready."""
    os._exit(3)


def endless(pipe: Connection, job: Job, rank: int, parent: int) -> None:
    """Train on, whatever the first rank does."""
    pipe.send(("ready",))
    time.sleep(600)

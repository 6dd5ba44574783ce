"""A worker process: runs the trials it is handed until it is told to stop or its parent is gone."""

from __future__ import annotations

import logging
import os
import signal
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from boatseg_core.errors import BoatsegError

if TYPE_CHECKING:
    from boatseg_core.training.result import Entry
    from boatseg_core.training.study.trial import Task, Workshop


def main(pipe: Connection, shop: Workshop, threads: int, parent: int) -> None:
    """Run trials; the target of a spawned process.

    Sends ``("ready",)``, then for each trial ``("validated", number, entry)`` and
    ``("ended", number)``, or ``("useless", sentence)`` where no trial could be run at all.

    Args:
        pipe: Tasks come in, None being the last; messages go out.
        shop: What all trials have in common.
        threads: This worker's share of the cores.
        parent: Process number of the parent.
    """
    # Ctrl-C reaches every process of a terminal: the parent alone decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    logging.basicConfig(level=logging.WARNING)
    try:
        _work(pipe, shop, threads, parent)
    except BoatsegError as error:
        pipe.send(("useless", str(error)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone


def _work(pipe: Connection, shop: Workshop, threads: int, parent: int) -> None:
    import optuna
    import torch

    from boatseg_core.dataset import GoldDataset
    from boatseg_core.lake import Lake
    from boatseg_core.training.study.opening import join
    from boatseg_core.training.study.storage import storage_errors
    from boatseg_core.training.study.trial import run_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(threads)
    gold = GoldDataset(Lake.from_settings(shop.settings), shop.gold_version)
    study = join(shop.settings, shop.base, shop.study_name)

    def on_epoch(number: int, entry: Entry) -> None:
        try:
            pipe.send(("validated", number, entry))
        except OSError:
            # The parent was killed, which is no failure of the trial: whoever goes on with the
            # study finds it without a process and tries it again.
            os._exit(1)

    pipe.send(("ready",))
    while True:
        task: Task | None = pipe.recv()
        if task is None:
            return
        with storage_errors(shop.settings):
            run_trial(task, shop, study, gold, on_epoch=on_epoch, threads=threads, parent=parent)
        pipe.send(("ended", task.number))

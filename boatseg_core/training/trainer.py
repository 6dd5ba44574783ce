"""Lightning's trainer as this project uses it: quiet, interruptible, without files of its own."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from boatseg_core.config.sections import Train


def make_trainer(
    train: Train, kind: str, *, epochs: int, callbacks: list[pl.Callback], work: Path
) -> pl.Trainer:
    """Make the trainer of one training.

    Args:
        train: The settings of the training.
        kind: ``cpu`` or ``cuda``.
        epochs: Stretches between validations.
        callbacks: Called in this order.
        work: Folder that Lightning would write to; it is told not to.
    """
    import pytorch_lightning as pl

    from boatseg_core.training.strategy import strategy

    return pl.Trainer(
        **strategy(kind, train.devices),
        precision="bf16-mixed" if computes_in_bf16(train.precision, kind) else "32-true",
        max_epochs=epochs,
        accumulate_grad_batches=train.accumulate,
        callbacks=callbacks,
        default_root_dir=work,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def computes_in_bf16(asked: str, kind: str) -> bool:
    """Whether ``train.precision`` means bf16 on a ``cpu`` or on ``cuda``."""
    import torch

    return asked == "bf16" or (
        asked == "auto" and kind == "cuda" and torch.cuda.is_bf16_supported()
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C through: Lightning makes an exit of it and leaves the next one ignored."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's tips out of the log; our own lines say what matters."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Above all the advice to use worker processes: decoding runs in threads.
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

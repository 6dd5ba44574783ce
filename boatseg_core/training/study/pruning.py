"""Ends a trial within its training. Needs torch.

Optuna's own callback is for the package ``lightning``; this one is for ``pytorch_lightning``, reads
the validation that the judge has just written, and knows the time budget of a study.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl  # noqa: TID253

from boatseg_core.training.callbacks import Judge

if TYPE_CHECKING:
    import optuna

    from boatseg_core.training.result import Entry


class Stopped(Exception):
    """Ends a trial that need not go on.

    Args:
        reason: Why, in words.
        step: Optimiser steps taken by then.
    """

    def __init__(self, reason: str, step: int) -> None:
        super().__init__(reason)
        self.step = step


class Pruning(pl.Callback):
    """Reports every validation to the study and stops what it would prune.

    Args:
        trial: Is told the objective of each validation.
        last_step: Of the training; a trial that has reached it is complete and never pruned.
        until: Time of the monotonic clock after which the trial ends at its next step.
    """

    def __init__(self, trial: optuna.Trial, *, last_step: int, until: float) -> None:
        self._trial, self._last, self._until = trial, last_step, until

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look at the clock; the last step's validation is waited for, since it is all there is.

        Raises:
            Stopped: The time is used up.
        """
        if trainer.global_step < self._last:
            self._in_time(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at what the judge wrote, which stands before this callback."""
        judge = next(item for item in trainer.callbacks if isinstance(item, Judge))  # type: ignore[attr-defined]
        self.judged(judge.history[-1])

    def judged(self, entry: Entry) -> None:
        """Report a validation.

        Raises:
            Stopped: The trial need not go on.
        """
        self._trial.report(objective(entry), int(entry["epoch"]))
        if entry["step"] >= self._last:
            return
        if self._trial.should_prune():
            raise Stopped("worse than the others at the same validation", int(entry["step"]))
        self._in_time(int(entry["step"]))

    def _in_time(self, step: int) -> None:
        if time.monotonic() > self._until:
            raise Stopped("tune.max_seconds and tune.grace_seconds are used up", step)


def objective(entry: Entry) -> float:
    """Per-image IoU above that of predicting nothing, on the same images; -1 to 1."""
    return entry["valid_per_image_iou"] - entry["valid_floor_per_image_iou"]

"""Progress of a training: a bar on a terminal, a line for each validation everywhere."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl  # noqa: TID253
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from boatseg_core.training.callbacks import Judge, line


class ProgressBar(pl.Callback):
    """Shows steps on a terminal; prints validations, also where standard error is a file.

    Args:
        steps: Length of the training.
        judge: Has written its entry before this callback is asked.
        console: Where to; standard error by default.
    """

    def __init__(self, steps: int, judge: Judge, console: Console | None = None) -> None:
        self._judge = judge
        self._console = console or Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=steps)

    def stop(self) -> None:
        """Give the terminal back, however the training ended."""
        self._bar.stop()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the bar."""
        self._bar.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Advance the bar; no figure is shown that would have to be fetched from the device."""
        self._bar.update(self._task, completed=trainer.global_step, description="training")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why the steps stand still."""
        self._bar.update(self._task, description="validating")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print one line."""
        # A log file is not 80 columns wide, whatever the terminal size is said to be.
        self._console.print(line(self._judge.history[-1]), soft_wrap=True)

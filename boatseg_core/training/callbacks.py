"""What happens beside the steps: watching the loss, judging, keeping the best. Needs torch."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl  # noqa: TID253
import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

from boatseg_core.errors import TrainingError
from boatseg_core.metrics.iou import selection_score
from boatseg_core.training.checkpoint import write_whole

if TYPE_CHECKING:
    from boatseg_core.training.data import CropBatch
    from boatseg_core.training.model import Segmenter
    from boatseg_core.training.result import Entry, OnEpoch

log = logging.getLogger(__name__)

# Looking at a loss makes the host wait for the GPU; on a CPU it is free.
_STEPS_BETWEEN_LOOKS = 25


class LossGuard(pl.Callback):
    """Stops a training whose loss is no longer a number, and says on which images it happened.

    Args:
        judge: Says what is kept.
        first: Batches that an interrupted training has had.
    """

    def __init__(self, judge: Judge, *, first: int = 0) -> None:
        self._judge, self._batches = judge, first
        self._seen: list[tuple[int, int, list[str], Tensor]] = []

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: CropBatch,
        batch_idx: int,
    ) -> None:
        """Note the loss, and look at it now and then."""
        self._batches += 1
        loss = outputs["loss"].detach()
        self._seen.append((self._batches, trainer.global_step, batch.image_ids, loss))
        if pl_module.device.type == "cpu" or len(self._seen) >= _STEPS_BETWEEN_LOOKS:
            self.look()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look before the weights are judged."""
        self.look()

    def look(self) -> None:
        """Look at every loss that was noted.

        Raises:
            TrainingError: One of them is no number.
        """
        if not self._seen:
            return
        losses = torch.stack([loss for *_, loss in self._seen]).tolist()
        for (number, step, image_ids, _), loss in zip(self._seen, losses, strict=True):
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} in batch {number}, at step {step} "
                    f"(images {', '.join(image_ids)}): lower train.learning_rate, or look at these "
                    f"images and their masks; {self._judge.kept()}"
                )
        self._seen.clear()


class Judge(pl.Callback):
    """Writes the history and keeps the weights with the best score.

    The score is :func:`boatseg_core.metrics.iou.selection_score`: per-image IoU would prefer a
    model that finds nothing.

    Args:
        checkpoint: File for the best weights; replaced whole.
        on_epoch: Called with each entry of the history; what it raises ends the training.
        patience: Validations without a better score after which the training stops; 0 never.
    """

    def __init__(self, checkpoint: Path, on_epoch: OnEpoch | None, patience: int = 0) -> None:
        self.history: list[Entry] = []
        self.best_step = 0
        self._best = -1.0
        self._patience, self._waited = patience, 0
        self._checkpoint, self._on_epoch = checkpoint, on_epoch
        self._started = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the validation before."""
        segmenter_of(pl_module).reset_valid()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read both tallies, compare, keep, tell."""
        segmenter = segmenter_of(pl_module)
        train, valid = segmenter.train_tally.read(), segmenter.valid_tally.read()
        segmenter.reset_train()
        if not math.isfinite(valid["loss"]):
            raise TrainingError(
                f"the validation loss is {valid['loss']} after step {trainer.global_step}: "
                f"lower train.learning_rate; {self.kept()}"
            )
        score = selection_score(valid)
        entry: Entry = {
            "step": trainer.global_step,
            "epoch": len(self.history) + 1,
            "seconds": time.monotonic() - self._started,
            "learning_rate": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            "score": score,
            **{f"train_{name}": value for name, value in train.items()},
            **{f"valid_{name}": value for name, value in valid.items()},
        }
        self.history.append(entry)
        self._waited = 0 if score > self._best else self._waited + 1
        # The later of two equals: it has seen more.
        if score >= self._best:
            self._best, self.best_step = score, trainer.global_step
            if trainer.is_global_zero:
                write_whole(segmenter.network.state_dict(), self._checkpoint)
        if self._patience and self._waited >= self._patience:
            trainer.should_stop = True
        if trainer.is_global_zero:
            log.info("%s", line(entry))
        if self._on_epoch is not None:
            self._on_epoch(entry)

    def kept(self) -> str:
        """Say what there is of good weights."""
        if not self.history:
            return "no weights were kept, since it had not been validated yet"
        return f"the best weights so far, of step {self.best_step}, are kept in {self._checkpoint}"

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {
            "history": self.history,
            "best_step": self.best_step,
            "best": self._best,
            "waited": self._waited,
            "seconds": time.monotonic() - self._started,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there; the history is told again, to whoever listens this time."""
        self.history[:] = state_dict["history"]
        self.best_step, self._best = state_dict["best_step"], state_dict["best"]
        self._waited = state_dict["waited"]
        self._started = time.monotonic() - state_dict["seconds"]
        if self._on_epoch is not None:
            for entry in self.history:
                self._on_epoch(entry)


def line(entry: Entry) -> str:
    """One readable line of a history entry."""
    return (
        f"step {entry['step']:.0f}: loss {entry['train_loss']:.3f}"
        f" | valid boat IoU {entry['valid_boat_iou']:.3f},"
        f" false alarms {entry['valid_empty_false_positive_rate']:.0%},"
        f" per-image IoU {entry['valid_per_image_iou']:.3f}"
        f" (predicting nothing {entry['valid_floor_per_image_iou']:.3f})"
        f" | {entry['seconds']:.0f} s"
    )


def segmenter_of(module: pl.LightningModule) -> Segmenter:
    """The module, which is always our own."""
    from boatseg_core.training.model import Segmenter

    assert isinstance(module, Segmenter)
    return module

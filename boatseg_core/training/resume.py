"""Go on where a training was killed. Needs torch.

Everything that decides the rest of a training is written every so many steps: weights, optimiser,
schedule, random states, what was counted since the last validation, the history. The crops need no
state: their stream follows from the seed, and is wound forward without decoding.

Lightning's own resuming is not used: it starts the interrupted epoch's data from its beginning.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl  # noqa: TID253
import torch  # noqa: TID253

from boatseg_core.dataset.loader.order import ORDER_VERSION
from boatseg_core.training.callbacks import Judge, LossGuard, segmenter_of
from boatseg_core.training.checkpoint import write_whole
from boatseg_core.training.rank import of_all, place

if TYPE_CHECKING:
    from boatseg_core.config.sections import Train
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.training.ema import Ema

log = logging.getLogger(__name__)

FILE = "resume.pt"

# How a training looks at data or shows itself does not decide what comes out.
_IRRELEVANT = {"threads", "checkpoint_steps"}


def fingerprint(gold: GoldDataset, train: Train, threshold: float) -> str:
    """Name everything a training follows from: another name is another training."""
    facts = {
        "lake": gold.lake.root,
        "gold": gold.version,
        "train": train.model_dump(mode="json", exclude=_IRRELEVANT),
        "threshold": threshold,
        "order": ORDER_VERSION,
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def load(path: Path, name: str) -> dict[str, Any] | None:
    """Read the state of an interrupted training; None where there is none of this name."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # on a damaged file torch raises anything, a KeyError for one
        log.warning("%s cannot be read (%r): the training starts from its beginning", path, error)
        return None
    if state.get("name") != name:
        log.warning("%s is of another training: this one starts from its beginning", path)
        return None
    return state


def remaining(epochs: Sequence[int], step: int) -> list[int]:
    """Steps left in each epoch after ``step`` steps; a state is never from an epoch's last step."""
    left = []
    for length in epochs:
        done = min(step, length)
        step -= done
        if length > done:
            left.append(length - done)
    return left


class Keeper(pl.Callback):
    """Writes the state every few steps and after each validation, and puts it back.

    It has to come last: what the other callbacks did with a validation is part of the state.

    Args:
        path: File, replaced whole each time.
        name: See :func:`fingerprint`.
        every: Steps between two writings; 0 for after validations alone.
        judge: Its history is kept.
        guard: Asked before anything is written: what it objects to is not kept.
        ema: Its average is kept.
        state: What to go on from.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        every: int,
        judge: Judge,
        guard: LossGuard,
        ema: Ema | None,
        state: dict[str, Any] | None,
    ) -> None:
        self._path, self._name, self._every = path, name, every
        self._judge, self._guard, self._ema, self._state = judge, guard, ema, state
        self._kept = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the state back, now that there are optimiser and schedule to put it into."""
        state, self._state = self._state, None
        if state is None:
            return
        segmenter = segmenter_of(pl_module)
        trainer.optimizers[0].load_state_dict(state["optimizer"])
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(state["schedule"])
        # The only counter of steps there is: messages, history and the bar all read it.
        progress = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress
        progress.optimizer.step.total.completed = self._kept = state["step"]
        mine = state["ranks"][place()[0]]
        segmenter.restore(mine["segmenter"])
        self._judge.load_state_dict(state["judge"])
        # The weights are those of all ranks. What normalisation has seen is each rank's own until
        # the next validation, whose mean it enters.
        segmenter.network.load_state_dict(mine.get("statistics", {}), strict=False)
        if self._ema is not None:
            average = state["ema"]["average"] | mine.get("average", {})
            self._ema.load_state_dict(state["ema"] | {"average": average})
        torch.set_rng_state(mine["random"])
        if mine["random_cuda"] is not None and segmenter.device.type == "cuda":
            torch.cuda.set_rng_state(mine["random_cuda"], segmenter.device)
        log.info("the training goes on after step %d", state["step"])

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write, but not at the end of an epoch: the validation belongs to it."""
        step = trainer.global_step
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        # Between two steps, where gradients are being summed, there is more to a state.
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self._every and step - self._kept >= self._every and whole and not last:
            self._write(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the validation said."""
        self._write(trainer, pl_module)

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        segmenter = segmenter_of(pl_module)
        self._guard.look()
        self._kept = trainer.global_step
        cuda = segmenter.device.type == "cuda"
        # All ranks have the same weights; what they have drawn and counted is their own.
        ranks = of_all(
            {
                "segmenter": segmenter.state(),
                "random": torch.get_rng_state(),
                "random_cuda": torch.cuda.get_rng_state(segmenter.device) if cuda else None,
                **self._own_statistics(segmenter.network),
            }
        )
        # A loss may still be a number where the step that followed from it has spoilt the weights:
        # the state before stays, and the next loss says so.
        if not trainer.is_global_zero or not finite(segmenter):
            return
        write_whole(
            {
                "name": self._name,
                "step": trainer.global_step,
                "network": segmenter.network.state_dict(),
                "optimizer": trainer.optimizers[0].state_dict(),
                "schedule": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
                "judge": self._judge.state_dict(),
                "ema": None if self._ema is None else self._ema.state_dict(),
                "ranks": ranks,
            },
            self._path,
        )

    def _own_statistics(self, network: torch.nn.Module) -> dict[str, dict[str, torch.Tensor]]:
        """What normalisation has seen on this rank, where there are several."""
        if place()[1] == 1:
            return {}
        buffers = {name for name, _ in network.named_buffers()}
        states = {"statistics": network.state_dict()}
        if self._ema is not None:
            states["average"] = self._ema.state_dict()["average"]
        return {
            kind: {name: value.cpu() for name, value in state.items() if name in buffers}
            for kind, state in states.items()
        }


@torch.no_grad()
def finite(module: torch.nn.Module) -> bool:
    """Whether all weights are numbers."""
    norms = torch._foreach_norm(list(module.parameters()))
    return bool(torch.stack(norms).isfinite().all())

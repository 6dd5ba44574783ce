"""An exponential moving average of the weights. Needs torch."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl  # noqa: TID253
import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

from boatseg_core.training.callbacks import segmenter_of


class Ema(pl.Callback):
    """Averages the weights over the steps, and is judged and kept in their place.

    ``average = d * average + (1 - d) * weights`` after each step (Polyak & Juditsky 1992; as in
    Mean Teacher, Tarvainen & Valpola 2017), with ``d`` rising to ``decay`` as
    ``(1 + n) / (10 + n)``, so that a short training does not drag its random start along. Buffers
    of normalisation are averaged as well, counters copied. During a validation the network has the
    averaged weights, so what is judged is what is kept.

    Args:
        decay: Share of the old average that stays at each step, 0 to 1.
    """

    def __init__(self, decay: float) -> None:
        self._decay, self._updates, self._last_step = decay, 0, -1
        self._average: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start from the network as it is."""
        self._average = _copy(segmenter_of(pl_module).network.state_dict())
        self._last_step = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the average towards the weights, once a step."""
        if trainer.global_step == self._last_step:
            return  # gradients are being summed
        self._last_step = trainer.global_step
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        state = segmenter_of(pl_module).network.state_dict()
        floating = [name for name, value in state.items() if value.is_floating_point()]
        # All at once: one by one, the calls alone took as long as the arithmetic.
        torch._foreach_lerp_(
            [self._average[name] for name in floating],
            [state[name] for name in floating],
            1 - decay,
        )
        for name in state.keys() - set(floating):
            self._average[name].copy_(state[name])

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average into the network."""
        network = segmenter_of(pl_module).network
        self._weights = _copy(network.state_dict())
        network.load_state_dict(self._average)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the weights back; the judge has kept the average if it was good."""
        if self._weights is not None:
            segmenter_of(pl_module).network.load_state_dict(self._weights)
            self._weights = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"average": self._average, "updates": self._updates, "step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        device = next(iter(self._average.values())).device
        self._average = {name: value.to(device) for name, value in state_dict["average"].items()}
        self._updates, self._last_step = state_dict["updates"], state_dict["step"]


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}

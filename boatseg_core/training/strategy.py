"""How Lightning is told of the ranks that :mod:`.ranks` has brought together. Needs torch."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl  # noqa: TID253
import torch  # noqa: TID253
from pytorch_lightning.plugins.environments import (  # type: ignore[attr-defined]  # noqa: TID253
    LightningEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy  # noqa: TID253
from torch import distributed, nn  # noqa: TID253

from boatseg_core.training.callbacks import segmenter_of
from boatseg_core.training.rank import place


class _OneMachine(LightningEnvironment):
    """Processes of this machine that run already; nothing is read from the environment."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0

    def teardown(self) -> None:
        """Leave the environment as it is."""


class _Joined(DDPStrategy):
    """DDP of processes that were started elsewhere, also in a notebook."""

    def _configure_launcher(self) -> None:
        """There is nothing to launch."""


def strategy(kind: str, devices: int) -> dict[str, Any]:
    """Arguments of a trainer on so many devices.

    Args:
        kind: ``cpu`` or ``cuda``.
        devices: Ranks; above one, inside of :func:`boatseg_core.training.ranks.together`.
    """
    accelerator = "gpu" if kind == "cuda" else "cpu"
    if devices == 1:
        return {"accelerator": accelerator, "devices": 1}
    joined = _Joined(
        cluster_environment=_OneMachine(place()[0]),
        process_group_backend="nccl" if kind == "cuda" else "gloo",
        # Statistics of normalisation are agreed on before a validation, see AgreeOnStatistics: in
        # every step it would be one more round of messages, and on whole images, of which ranks
        # may have different numbers, they would wait for each other for ever.
        broadcast_buffers=False,
        gradient_as_bucket_view=True,
    )
    return {
        "accelerator": accelerator,
        "devices": devices,
        "strategy": joined,
        "use_distributed_sampler": False,  # the loader deals out the batches
    }


class AgreeOnStatistics(pl.Callback):
    """Gives all ranks the mean of their running statistics before they validate.

    Each rank's normalisation has seen its own crops. What is judged and kept has to be one network.
    """

    @torch.no_grad()
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Average the buffers that are floating-point numbers; counters are the same anyway."""
        agree(segmenter_of(pl_module).network)


@torch.no_grad()
def agree(network: nn.Module) -> None:
    """Replace every running statistic by its mean over the ranks."""
    _, world = place()
    # Those that a checkpoint does not keep come from the settings and are the same anyway.
    kept = network.state_dict().keys()
    buffers = [b for name, b in network.named_buffers() if name in kept and b.is_floating_point()]
    if world == 1 or not buffers:
        return
    flat = torch.cat([buffer.flatten() for buffer in buffers])
    distributed.all_reduce(flat)
    flat /= world
    parts = torch.split(flat, [buffer.numel() for buffer in buffers])
    for buffer, part in zip(buffers, parts, strict=True):
        buffer.copy_(part.view_as(buffer))

"""The LightningModule. Imported lazily: it needs torch.

Nothing in a step waits for the device: pixel counts and losses stay there and are read once per
validation. The one exception is JPEG, a part of ``train.augment = "strong"``: torchvision's codec
runs on the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl  # noqa: TID253
import torch  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from boatseg_core.metrics.iou import IouAccumulator
from boatseg_core.training.augment import augment
from boatseg_core.training.augment_strong import strengthen
from boatseg_core.training.data import CropBatch, WholeBatch
from boatseg_core.training.losses import build_loss
from boatseg_core.training.rank import of_all, place

if TYPE_CHECKING:
    from boatseg_core.config.sections import Train

# Pretrained layers know their job already; they move at this share of the decoder's rate.
ENCODER_RATE = 0.3
_RANK_STRIDE = 1_000_003


class Tally:
    """Pixel counts and losses of many batches, kept on their device until asked for."""

    def __init__(self) -> None:
        self._counts: list[Tensor] = []
        self._losses: list[Tensor] = []

    def add(self, counts: Tensor, loss: Tensor) -> None:
        """Add a batch: ``counts`` ``[N, 3]`` as :func:`pixel_counts` gives them."""
        self._counts.append(counts)
        self._losses.append(loss.detach())

    def state(self) -> dict[str, list[Tensor]]:
        """Everything added so far."""
        return {"counts": self._counts, "losses": self._losses}

    def restore(self, state: dict[str, list[Tensor]], device: torch.device) -> None:
        """Go on from :meth:`state`, whose tensors may be elsewhere, on a device."""
        self._counts, self._losses = (
            [tensor.to(device) for tensor in state[name]] for name in ("counts", "losses")
        )

    def read(self) -> dict[str, float]:
        """Summarise what all ranks have added: the metrics of iou, and ``loss``.

        Every rank has to read at the same point, and reads the same.
        """
        counts = [batch.cpu().numpy() for batch in self._counts]
        losses = torch.stack(self._losses).cpu().double().tolist() if self._losses else []
        accumulator = IouAccumulator()
        total: list[float] = []
        for rank_counts, rank_losses in of_all((counts, losses)):
            if rank_counts:
                accumulator.update_counts(*np.concatenate(rank_counts).T)
            total += rank_losses
        loss = math.fsum(total) / len(total) if total else math.nan
        return {**accumulator.compute(), "loss": loss}


def pixel_counts(logits: Tensor, masks: Tensor, cut: float) -> Tensor:
    """Count true positive, false positive and false negative pixels of each image.

    Args:
        logits: ``[N, 1, H, W]``.
        masks: ``[N, 1, H, W]``, 0 or 1.
        cut: A pixel with a higher logit is predicted.

    Returns:
        int64 ``[N, 3]`` on the same device.
    """
    pred, truth = (logits > cut).flatten(1), masks.bool().flatten(1)
    both = (pred & truth).sum(1)
    return torch.stack([both, pred.sum(1) - both, truth.sum(1) - both], dim=1)


class Segmenter(pl.LightningModule):
    """Trains a network on crops and counts its pixels on whole images.

    Args:
        network: RGB in 0..1 to logits, see :class:`boatseg_core.training.normalised.Normalised`.
        train: Loss, learning rate, decay, seed.
        steps: Length of the one-cycle schedule.
        threshold: Probability above which a pixel belongs to an object.
    """

    def __init__(self, network: nn.Module, train: Train, steps: int, threshold: float) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        # Crops have one size; whole images have many, and would be compiled for each.
        self._crops: Callable[[Tensor], Tensor] = (
            torch.compile(self.network.forward) if train.compile else self.network.forward
        )
        self.loss = build_loss(train.loss)
        self.cut = float(torch.logit(torch.tensor(threshold, dtype=torch.float64)))
        self.train_tally, self.valid_tally = Tally(), Tally()
        self._train, self._steps = train, steps
        self._generator: torch.Generator | None = None
        self.largest = (0, 0)  # height and width of the validation image with the most pixels
        self.looks = False  # at whole images, not at crops

    def state(self) -> dict[str, Any]:
        """What a resumed training needs besides the weights."""
        generator = None if self._generator is None else self._generator.get_state()
        return {"generator": generator, "tally": self.train_tally.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there; on the device the network is on by now."""
        if state["generator"] is not None:
            self._generator = torch.Generator(self.device)
            self._generator.set_state(state["generator"])
        self.train_tally.restore(state["tally"], self.device)

    def reset_train(self) -> None:
        """Start a new training tally."""
        self.train_tally = Tally()

    def reset_valid(self) -> None:
        """Start a new validation tally."""
        self.valid_tally = Tally()

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits of uint8 or 0..1 float images ``[N, 3, H, W]``."""
        logits: Tensor = self.network(prepare(images))
        return logits

    def training_step(self, batch: CropBatch, batch_idx: int) -> Tensor:
        """Augment, predict, compare."""
        self.looks = False
        if self._generator is None or self._generator.device != batch.images.device:
            # Another one on each rank: they change different crops.
            seed = self._train.seed + _RANK_STRIDE * place()[0]
            self._generator = torch.Generator(batch.images.device).manual_seed(seed)
        images, masks = prepare(batch.images), batch.masks
        if self._train.augment == "strong":
            images, masks = strengthen(images, masks, self._generator)
        images, masks = augment(images, masks, self._generator)
        logits = self._crops(images.contiguous(memory_format=torch.channels_last))
        loss: Tensor = self.loss(logits, masks)
        self.train_tally.add(pixel_counts(logits.detach(), masks, self.cut), loss)
        return loss

    def validation_step(self, batch: WholeBatch, batch_idx: int) -> None:
        """Count the pixels of whole images; padding is cut off before anything is counted."""
        self.looks = True
        self.largest = max(self.largest, *batch.sizes, key=math.prod)
        logits = self(batch.images)
        for index, (height, width) in enumerate(batch.sizes):
            part = logits[index : index + 1, :, :height, :width]
            mask = batch.masks[index : index + 1, :, :height, :width]
            self.valid_tally.add(pixel_counts(part, mask, self.cut), self.loss(part, mask))

    def configure_optimizers(self) -> Any:
        """AdamW and one cycle over the whole training, stepped every batch."""
        inner = getattr(self.network, "network", self.network)
        encoder = getattr(inner, "encoder", None)
        slow = (
            {id(p) for p in encoder.parameters()} if encoder and self._train.pretrained else set()
        )
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                # Decaying biases and the scales of normalisation only hurts.
                key = (id(parameter) in slow, parameter.ndim > 1)
                groups.setdefault(key, []).append(parameter)
        rate, decay = self._train.learning_rate, self._train.weight_decay
        peaks = [rate * (ENCODER_RATE if is_slow else 1) for is_slow, _ in groups]
        optimizer = torch.optim.AdamW(
            [
                {"params": parameters, "weight_decay": decay if decayed else 0.0}
                for (_, decayed), parameters in groups.items()
            ],
            lr=rate,
            # All weights in one call: one by one they took 13 ms a step on two cores, so 2.4 ms.
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=peaks, total_steps=max(self._steps, 2), pct_start=0.2
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def prepare(images: Tensor) -> Tensor:
    """Turn uint8 images into float32 in 0..1, channels last; floats pass as they are."""
    if images.dtype == torch.uint8:
        images = images.to(memory_format=torch.channels_last).float().div_(255)
    return images

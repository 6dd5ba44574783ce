"""Focal loss plus Dice. Imported lazily: it needs torch."""

from __future__ import annotations

import torch.nn.functional as functional  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from boatseg_core.training.losses.dice import dice


def focal_dice(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.75,
    gamma: float = 2.0,
    focal_weight: float = 10.0,
) -> Tensor:
    """``focal_weight`` times the focal loss (Lin et al. 2017) plus the soft Dice loss.

    Args:
        logits: ``[N, 1, H, W]``, any float type; computed in float32.
        target: 0 or 1, same shape.
        alpha: Weight of object pixels; the others get ``1 - alpha``.
        gamma: How much easy pixels are played down.
        focal_weight: Focal loss is about a tenth of cross-entropy; this evens them out.

    Returns:
        Scalar float32.
    """
    logits, target = logits.float(), target.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    miss = probability + target - 2 * probability * target
    weight = alpha * target + (1 - alpha) * (1 - target)
    focal = (weight * miss**gamma * entropy).mean()
    return focal_weight * focal + dice(probability, target)


class FocalDiceLoss(nn.Module):
    """See :func:`focal_dice`."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return focal_dice(logits, target)

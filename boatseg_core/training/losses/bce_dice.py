"""Binary cross-entropy plus Dice. Imported lazily: it needs torch."""

from __future__ import annotations

import torch.nn.functional as functional  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from boatseg_core.training.losses.dice import dice


def bce_dice(logits: Tensor, target: Tensor, *, dice_weight: float = 1.0) -> Tensor:
    """Mean pixel-wise cross-entropy plus ``dice_weight`` times the soft Dice loss.

    Args:
        logits: ``[N, 1, H, W]``, any float type; computed in float32.
        target: 0 or 1, same shape.
        dice_weight: Weight of the Dice part.

    Returns:
        Scalar float32.
    """
    logits, target = logits.float(), target.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, target)
    return entropy + dice_weight * dice(logits.sigmoid(), target)


class BceDiceLoss(nn.Module):
    """See :func:`bce_dice`."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return bce_dice(logits, target)

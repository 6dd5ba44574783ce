"""Tversky loss. Imported lazily: it needs torch."""

from __future__ import annotations

from torch import Tensor, nn  # noqa: TID253


def tversky(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
) -> Tensor:
    """Tversky loss over the whole batch (Salehi et al. 2017).

    Dice with the two kinds of error weighed apart: with ``beta`` above ``alpha`` a missed pixel
    costs more than a false one, as small boats on much sea need. ``alpha = beta = 0.5`` is Dice. As
    in :func:`boatseg_core.training.losses.dice.dice` the batch has one ratio.

    Args:
        logits: ``[N, 1, H, W]``, any float type; computed in float32.
        target: 0 or 1, same shape.
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        smooth: Pixels added to both sides of the ratio; keeps it defined without objects.

    Returns:
        Scalar float32, 0 for a perfect match.
    """
    probability, target = logits.float().sigmoid(), target.float()
    both = (probability * target).sum()
    extra, missed = probability.sum() - both, target.sum() - both
    return 1 - (both + smooth) / (both + alpha * extra + beta * missed + smooth)


class TverskyLoss(nn.Module):
    """See :func:`tversky`."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        return tversky(logits, target)

"""Soft Dice, the overlap half of the combined losses. Imported lazily: it needs torch."""

from __future__ import annotations

from torch import Tensor  # noqa: TID253


def dice(probability: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss over the whole batch (Milletari et al. 2016, with plain sums).

    One ratio over all images, since a ratio for each would let the few stray pixels of an empty
    crop weigh as much as a missed boat.

    Args:
        probability: ``[N, 1, H, W]`` float32, 0 to 1.
        target: 0 or 1, same shape.
        smooth: Pixels added to both sides of the ratio; keeps it defined without objects.

    Returns:
        Scalar, 0 for a perfect match.
    """
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + smooth) / (probability.sum() + target.sum() + smooth)

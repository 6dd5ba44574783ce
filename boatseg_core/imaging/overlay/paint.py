"""A mask, or truth beside prediction, painted over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from boatseg_core.imaging.rle import BoolMask

Pixels: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

AGREEMENT: Colour = (255, 225, 60)
TRUTH: Colour = (240, 70, 30)
PREDICTION: Colour = (190, 90, 255)

ALPHA = 0.45


def contour(mask: BoolMask, thickness: int = 1) -> BoolMask:
    """Find the pixels of a mask that lie within ``thickness`` of its edge.

    Args:
        mask: bool ``[H, W]``.
        thickness: In pixels, inwards; 0 gives an empty contour.

    Returns:
        bool ``[H, W]``, a subset of ``mask``. The image's border is not an edge: a boat cut by
        it stays open there.
    """
    inner = mask
    for _ in range(thickness):
        padded = np.pad(inner, 1, mode="edge")
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def draw_overlay(
    image: Pixels,
    mask: BoolMask,
    *,
    colour: Colour = TRUTH,
    alpha: float = ALPHA,
    outline: int | None = None,
) -> Pixels:
    """Tint the pixels of a mask and draw its outline.

    Args:
        image: uint8 ``[H, W, 3]``; not changed.
        mask: bool ``[H, W]``.
        colour: Red, green and blue of the tint.
        alpha: Opacity of the tint, 0 to 1; the outline is always opaque.
        outline: Thickness of the outline in pixels; by default one per 384 pixels of the image.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: The mask has another size than the image.
    """
    return _paint(image, [(mask, colour)], alpha, outline)


def draw_comparison(
    image: Pixels,
    truth: BoolMask,
    prediction: BoolMask,
    *,
    alpha: float = ALPHA,
    outline: int | None = None,
) -> Pixels:
    """Draw truth and prediction at once, in the colours of agreement, missed and false.

    Args:
        image: uint8 ``[H, W, 3]``; not changed.
        truth: bool ``[H, W]``.
        prediction: bool ``[H, W]``.
        alpha: Opacity of the tint, 0 to 1; the outlines are always opaque.
        outline: Thickness of the outlines in pixels; by default one per 384 pixels of the image.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: A mask has another size than the image.
    """
    layers = [
        (truth & prediction, AGREEMENT),
        (truth & ~prediction, TRUTH),
        (prediction & ~truth, PREDICTION),
    ]
    return _paint(image, layers, alpha, outline)


def _paint(
    image: Pixels, layers: Sequence[tuple[BoolMask, Colour]], alpha: float, outline: int | None
) -> Pixels:
    height, width = image.shape[:2]
    thickness = max(1, round(max(height, width) / 384)) if outline is None else outline
    out = image.copy()
    for mask, colour in layers:
        if mask.shape != (height, width):
            raise ValueError(
                f"the mask is {mask.shape[1]}x{mask.shape[0]} pixels, the image {width}x{height}"
            )
        ink = np.array(colour, dtype=np.float32)
        out[mask] = (out[mask] * (1 - alpha) + ink * alpha).round().astype(np.uint8)
        out[contour(mask, thickness)] = colour
    return out

"""Cut square crops out of an image and its mask, at native resolution."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]

_CANDIDATES = 4


def cut(
    image: U8,
    mask: npt.NDArray[np.bool_],
    crop: int,
    boxes: Sequence[Sequence[int]],
    seed: int,
) -> tuple[U8, npt.NDArray[np.bool_]]:
    """Cut one crop.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask: bool ``[H, W]``.
        crop: Side of the crop, in pixels.
        boxes: Objects as x, y, width, height; one is chosen and its centre lies in the crop.
            Empty for a crop anywhere, with a leaning towards places that show something.
        seed: Seeds the choice.

    Returns:
        uint8 ``[crop, crop, 3]`` and bool ``[crop, crop]``. Images smaller than the crop are
        reflected at their right and lower edge.
    """
    generator = random.Random(seed)
    height, width = mask.shape
    if len(boxes):
        x, y, box_width, box_height = generator.choice(boxes)
        left = _near(x + box_width // 2, width, crop, generator)
        top = _near(y + box_height // 2, height, crop, generator)
    else:
        left, top = _anywhere(image, crop, generator)
    image = image[top : top + crop, left : left + crop]
    mask = mask[top : top + crop, left : left + crop]
    missing = crop - mask.shape[0], crop - mask.shape[1]
    if any(missing):
        edges = (0, missing[0]), (0, missing[1])
        image = np.pad(image, (*edges, (0, 0)), mode="symmetric")
        mask = np.pad(mask, edges, mode="symmetric")
    return image, mask


def _anywhere(image: U8, crop: int, generator: random.Random) -> tuple[int, int]:
    """Choose an offset at random, half of the time the one of a few that shows the most.

    Most of a sea is plain, and a network that has seen little else takes the rest (houses, rocks,
    foam) for objects.
    """
    height, width = image.shape[:2]
    offsets = [
        (generator.randint(0, max(0, width - crop)), generator.randint(0, max(0, height - crop)))
        for _ in range(_CANDIDATES if generator.random() < 0.5 else 1)
    ]

    def contrast(offset: tuple[int, int]) -> float:
        left, top = offset
        # Every fourth pixel of one channel: a rough figure is enough to rank by.
        return float(image[top : top + crop : 4, left : left + crop : 4, 1].std())

    return max(offsets, key=contrast) if len(offsets) > 1 else offsets[0]


def _near(centre: int, size: int, crop: int, generator: random.Random) -> int:
    """Choose an offset such that the crop holds the centre and lies inside the image."""
    # An eighth of margin: an object seen only by its edge teaches little.
    margin = crop // 8
    low, high = centre - crop + margin, centre - margin
    return min(max(generator.randint(low, high), 0), max(0, size - crop))

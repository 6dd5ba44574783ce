"""Choose square crops of an image at native resolution, before it is decoded where that can be."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
Offset = tuple[int, int]
"""Left and top of a crop, in pixels of the whole image."""

_CANDIDATES = 4


def offsets(
    height: int, width: int, crop: int, boxes: Sequence[Sequence[int]], seed: int
) -> list[Offset]:
    """Draw where a crop may lie: one place, or a few of which :func:`choose` takes one.

    Most of a sea is plain, and a network that has seen little else takes the rest (houses, rocks,
    foam) for objects: half of the crops that may lie anywhere are the one of a few that shows most.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        crop: Side of the crop, in pixels.
        boxes: Objects as x, y, width, height; one is chosen and its centre lies in the crop.
            Empty for a crop anywhere.
        seed: Seeds the choice.
    """
    generator = random.Random(seed)
    if len(boxes):
        x, y, box_width, box_height = generator.choice(boxes)
        left = _near(x + box_width // 2, width, crop, generator)
        return [(left, _near(y + box_height // 2, height, crop, generator))]
    count = _CANDIDATES if generator.random() < 0.5 else 1
    right, bottom = max(0, width - crop), max(0, height - crop)
    return [(generator.randint(0, right), generator.randint(0, bottom)) for _ in range(count)]


def around(places: Sequence[Offset], height: int, width: int, crop: int) -> tuple[int, ...]:
    """The box that holds every crop at these places, as left, top, width and height.

    It ends where the image does, if that is smaller than the crop.
    """
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    right, bottom = (
        min(max(place[axis] for place in places) + crop, size)
        for axis, size in ((0, width), (1, height))
    )
    return left, top, right - left, bottom - top


def choose(pixels: U8, at: Offset, places: Sequence[Offset], crop: int) -> Offset:
    """Choose the place whose crop has the highest contrast; the first one of equals.

    Args:
        pixels: uint8 ``[h, w, 3]``: the part of the image that holds all of the crops.
        at: Left and top of that part.
        places: Left and top of each crop in the image.
        crop: Side of a crop, in pixels.
    """

    def contrast(place: Offset) -> float:
        left, top = place[0] - at[0], place[1] - at[1]
        # Every fourth pixel of one channel: a rough figure is enough to rank by.
        return float(pixels[top : top + crop : 4, left : left + crop : 4, 1].std())

    return max(places, key=contrast) if len(places) > 1 else places[0]


def reflected(pixels: npt.NDArray[np.generic], crop: int) -> npt.NDArray[np.generic]:
    """Fill up to a square by reflecting at the right and lower edge.

    Args:
        pixels: ``[h, w]`` or ``[h, w, 3]``, at most the crop in size.
        crop: Side of the crop, in pixels.
    """
    missing = [(0, crop - side) for side in pixels.shape[:2]]
    if not any(count for _, count in missing):
        return pixels
    rest = [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, [*missing, *rest], mode="symmetric")


def _near(centre: int, size: int, crop: int, generator: random.Random) -> int:
    """Choose an offset such that the crop holds the centre and lies inside the image."""
    # An eighth of margin: an object seen only by its edge teaches little.
    margin = crop // 8
    low, high = centre - crop + margin, centre - margin
    return min(max(generator.randint(low, high), 0), max(0, size - crop))

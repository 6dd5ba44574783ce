"""Instance masks, and the overlapping windows cut from a scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from boatseg_core.synth.boats.ships import Boat
from boatseg_core.synth.plan import MIN_MASK_PIXELS, WINDOW, ScenePlan, window_boxes

__all__ = ["Instance", "Scene", "Window", "annotate", "clip", "cut_windows"]


@dataclass(frozen=True)
class Instance:
    """One boat in one window.

    Attributes:
        left: First column of the box around it.
        top: First row of the box.
        mask: Its pixels inside the box, bool ``[h, w]``.
    """

    left: int
    top: int
    mask: NDArray[np.bool_]

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    def full(self, height: int = WINDOW, width: int = WINDOW) -> NDArray[np.bool_]:
        """Returns the mask on the whole window, bool ``[height, width]``."""
        whole = np.zeros((height, width), np.bool_)
        rows, columns = self.mask.shape
        whole[self.top : self.top + rows, self.left : self.left + columns] = self.mask
        return whole


@dataclass(frozen=True)
class Window:
    """A picture cut from a scene.

    Attributes:
        image: Uint8 ``[768, 768, 3]``, RGB.
        instances: Boats in it, in no special order.
        top: Its first row in the scene.
        left: Its first column in the scene.
    """

    image: NDArray[np.uint8]
    instances: list[Instance]
    top: int
    left: int


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
        image: Uint8 ``[H, W, 3]``, RGB.
        instances: Boats in it; no pixel belongs to two.
        plan: What was asked for.
    """

    image: NDArray[np.uint8]
    instances: list[Instance]
    plan: ScenePlan


def clip(
    top: int, left: int, rows: int, columns: int, height: int, width: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Cuts a box to a picture: slices into the picture and into the box, or None outside."""
    y0, y1 = max(top, 0), min(top + rows, height)
    x0, x1 = max(left, 0), min(left + columns, width)
    if y0 >= y1 or x0 >= x1:
        return None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def annotate(rng: np.random.Generator, boat: Boat, taken: NDArray[np.bool_]) -> Instance | None:
    """Outlines a boat as the real annotators did: a generous, slightly turned rectangle."""
    height, width = taken.shape
    # Small boats get relatively loose boxes (in the real set 8 x 14 pixels is common for them).
    loose = float(rng.uniform(0.4, 1.5)) if boat.length < 40 else float(rng.uniform(0.2, 1.8))
    turned = Boat(
        boat.kind,
        boat.x + float(rng.normal(0, 0.3)),
        boat.y + float(rng.normal(0, 0.3)),
        boat.heading + float(rng.normal(0, 0.012)),
        boat.length + float(rng.uniform(0, 1.5)),
        boat.beam,
        boat.moving,
    )
    corners = turned.corners(loose)
    left = max(0, math.floor(min(x for x, _ in corners)))
    top = max(0, math.floor(min(y for _, y in corners)))
    right = min(width, math.ceil(max(x for x, _ in corners)) + 1)
    bottom = min(height, math.ceil(max(y for _, y in corners)) + 1)
    if right <= left or bottom <= top:
        return None
    canvas = Image.new("1", (right - left, bottom - top))
    ImageDraw.Draw(canvas).polygon([(x - left, y - top) for x, y in corners], fill=1)
    mask = np.array(canvas, dtype=np.bool_)
    mask &= ~taken[top:bottom, left:right]
    if not mask.any():
        return None
    taken[top:bottom, left:right] |= mask
    return Instance(left, top, mask)


def cut_windows(scene: Scene) -> list[Window]:
    """Cuts the overlapping windows of a scene, row by row.

    Args:
        scene: A rendered scene.

    Returns:
        Windows whose images are views of the scene; boats are cut at the border.
    """
    windows = []
    for top, left in window_boxes(scene.plan):
        instances = []
        for boat in scene.instances:
            rows, columns = boat.mask.shape
            box = clip(boat.top - top, boat.left - left, rows, columns, WINDOW, WINDOW)
            if box is None:
                continue
            there, part = box
            mask = boat.mask[part]
            if np.count_nonzero(mask) >= MIN_MASK_PIXELS:
                instances.append(Instance(there[1].start, there[0].start, mask))
        image = scene.image[top : top + WINDOW, left : left + WINDOW]
        windows.append(Window(image, instances, top, left))
    return windows

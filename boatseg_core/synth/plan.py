"""What each scene will be, decided before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "MAX_BOATS",
    "MIN_MASK_PIXELS",
    "STRIDE",
    "WINDOW",
    "ScenePlan",
    "plan_scene",
    "stream",
    "window_boxes",
]

WINDOW = 768
"""Side of a window in pixels."""
STRIDE = 256
"""Step between windows of one scene in pixels, as in the real set's mosaics."""
MAX_BOATS = 15
"""Most boats in one window."""
MIN_MASK_PIXELS = 10
"""A boat with fewer pixels inside a window is drawn but not labelled there."""

# Windows down and across, and how often; 2.6 windows a scene on average.
_GRIDS = (
    ((1, 1), 0.46),
    ((1, 2), 0.14),
    ((2, 1), 0.1),
    ((2, 2), 0.18),
    ((2, 3), 0.07),
    ((3, 3), 0.05),
)
# Share of the windows of a scene with boats that do show one, measured over 1,000 scenes.
_NATURAL_SHARE = 0.78


@dataclass(frozen=True)
class ScenePlan:
    """What a scene will be, known before anything is drawn.

    Attributes:
        rows: Windows from top to bottom.
        columns: Windows from left to right.
        boats: Whether the scene holds boats.
        fill: Probability that a window left without a boat is given one.
    """

    rows: int
    columns: int
    boats: bool
    fill: float

    @property
    def windows(self) -> int:
        """Number of windows cut from the scene."""
        return self.rows * self.columns


def stream(seed: int, index: int, purpose: int) -> np.random.Generator:
    """Random numbers for one purpose of one scene, independent of every other."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index, purpose)))
    )


def plan_scene(seed: int, index: int, empty_share: float = 0.75) -> ScenePlan:
    """Decides size and content of scene ``index`` without drawing it.

    Args:
        seed: Seed of the data set.
        index: Number of the scene, from 0.
        empty_share: Expected share of windows without boats, 0..1.

    Returns:
        The plan.
    """
    rng = stream(seed, index, 0)
    at = float(rng.random())
    grid = _GRIDS[0][0]
    for candidate, weight in _GRIDS:
        grid = candidate
        at -= weight
        if at <= 0:
            break
    wanted = 1.0 - empty_share
    boats = float(rng.random()) < wanted / _NATURAL_SHARE
    fill = max(0.0, (wanted - _NATURAL_SHARE) / (1.0 - _NATURAL_SHARE))
    return ScenePlan(grid[0], grid[1], boats, fill)


def window_boxes(plan: ScenePlan) -> list[tuple[int, int]]:
    """Top left corners of the windows, row by row."""
    return [
        (row * STRIDE, column * STRIDE)
        for row in range(plan.rows)
        for column in range(plan.columns)
    ]

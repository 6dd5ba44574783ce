"""Where the boats of a scene lie."""

from __future__ import annotations

import math

import numpy as np

from boatseg_core.synth.boats.ships import Boat, Kind, pick_kind
from boatseg_core.synth.land.harbour import Berth
from boatseg_core.synth.light.sky import Clouds
from boatseg_core.synth.noise import F32
from boatseg_core.synth.plan import MAX_BOATS, WINDOW, ScenePlan, window_boxes

__all__ = ["Fleet", "hulls_overlap", "populate"]

_OPEN_COUNTS = (0.56, 0.2, 0.1, 0.05, 0.04, 0.03, 0.02)


class Fleet:
    """Boats placed so far, and the rules for placing the next."""

    def __init__(self, land: F32, clouds: Clouds | None) -> None:
        self.land = land
        self.clouds = clouds
        self.boats: list[Boat] = []

    def fits(self, boat: Boat, margin: float = 3.0) -> bool:
        """Whether the boat would float free: no land, no thick cloud, no other hull."""
        height, width = self.land.shape
        if not (0 <= boat.x < width and 0 <= boat.y < height):
            return False
        cos, sin = math.cos(boat.heading), math.sin(boat.heading)
        for along in (-0.5, -0.25, 0.0, 0.25, 0.5):
            for across in (-0.5, 0.5):
                u, v = along * boat.length, across * boat.beam
                x, y = int(boat.x + u * cos - v * sin), int(boat.y + u * sin + v * cos)
                if 0 <= x < width and 0 <= y < height and self.land[y, x] > 0.02:
                    return False
        if self.clouds is not None and self.clouds.opacity[int(boat.y), int(boat.x)] > 0.45:
            return False
        return not any(hulls_overlap(boat, other, margin) for other in self.boats)

    def try_place(
        self,
        rng: np.random.Generator,
        kind: Kind,
        area: tuple[float, float, float, float],
        *,
        heading: float | None = None,
        tries: int = 12,
    ) -> bool:
        """Places one boat of a kind somewhere in ``area`` (left, top, right, bottom)."""
        for _ in range(tries):
            low, high = kind.length
            length = low * (high / low) ** float(rng.random())
            aspect = float(rng.uniform(*kind.aspect))
            turn = heading if heading is not None else float(rng.uniform(0, 2 * math.pi))
            boat = Boat(
                kind,
                float(rng.uniform(area[0], area[2])),
                float(rng.uniform(area[1], area[3])),
                turn + (float(rng.normal(0, 0.12)) if heading is not None else 0.0),
                length,
                max(3.2, length / aspect),
                bool(heading is None and rng.random() < kind.moving),
            )
            if self.fits(boat):
                self.boats.append(boat)
                return True
        return False

    def moor(self, rng: np.random.Generator, berth: Berth) -> bool:
        """Puts a boat into a berth, if it is free."""
        kind = pick_kind(rng, berth.kinds)
        boat = Boat(kind, berth.x, berth.y, berth.heading, berth.length, berth.beam, False)
        if not self.fits(boat, margin=0.5):
            return False
        self.boats.append(boat)
        return True


def hulls_overlap(a: Boat, b: Boat, margin: float) -> bool:
    """Separating-axis test of two rotated rectangles, ``margin`` pixels apart."""
    dx, dy = b.x - a.x, b.y - a.y
    if math.hypot(dx, dy) > a.radius + b.radius + margin:
        return False
    for angle in (a.heading, a.heading + math.pi / 2, b.heading, b.heading + math.pi / 2):
        ux, uy = math.cos(angle), math.sin(angle)
        reach = margin
        for boat in (a, b):
            cos, sin = math.cos(boat.heading), math.sin(boat.heading)
            reach += abs(ux * cos + uy * sin) * boat.length / 2
            reach += abs(uy * cos - ux * sin) * boat.beam / 2
        if abs(dx * ux + dy * uy) > reach:
            return False
    return True


def _crowded(boats: list[Boat], plan: ScenePlan) -> bool:
    """Whether some window already has as many boats as allowed."""
    for top, left in window_boxes(plan):
        seen = sum(_touches(boat, top, left) for boat in boats)
        if seen >= MAX_BOATS:
            return True
    return False


def _touches(boat: Boat, top: int, left: int) -> bool:
    """Whether any part of the boat may lie in the window."""
    xs = [x for x, _ in boat.corners(1.5)]
    ys = [y for _, y in boat.corners(1.5)]
    return max(xs) > left and min(xs) < left + WINDOW and max(ys) > top and min(ys) < top + WINDOW


def populate(
    rng: np.random.Generator,
    plan: ScenePlan,
    fleet: Fleet,
    berths: list[Berth],
    height: int,
    width: int,
) -> None:
    """Places the boats of a scene."""
    for berth in berths:
        if _crowded(fleet.boats, plan):
            break
        fleet.moor(rng, berth)
    # Open water: most pictures show one boat or two; some are an anchorage, heads to the wind.
    shares = np.cumsum(_OPEN_COUNTS)
    count = 1 + int(np.searchsorted(shares, float(rng.random()) * float(shares[-1])))
    if berths:
        count = int(rng.integers(0, 4))
    larger = height * width / (WINDOW * WINDOW)
    count = round(count * (1 + (larger - 1) * 0.4))
    anchored = count > 2 and rng.random() < 0.5
    wind = float(rng.uniform(0, 2 * math.pi)) if anchored else None
    group = pick_kind(rng) if count > 2 and rng.random() < 0.4 else None
    # Boats come near and across the border, too.
    area = (0.0, 0.0, width - 1.0, height - 1.0)
    for _ in range(count):
        if _crowded(fleet.boats, plan):
            return
        kind = group if group is not None and rng.random() < 0.8 else pick_kind(rng)
        fleet.try_place(rng, kind, area, heading=wind)
    for top, left in window_boxes(plan):
        if any(_mask_box(boat, height, width, top, left) for boat in fleet.boats):
            continue
        if not fleet.boats or rng.random() < plan.fill:
            inner = (left + 40.0, top + 40.0, left + WINDOW - 40.0, top + WINDOW - 40.0)
            for _ in range(6):
                if fleet.try_place(rng, pick_kind(rng), inner, tries=20):
                    break


def _mask_box(boat: Boat, height: int, width: int, top: int, left: int) -> bool:
    """Whether the boat's centre line shows in the window well enough to be labelled."""
    cos, sin = math.cos(boat.heading), math.sin(boat.heading)
    for along in (-0.4, -0.2, 0.0, 0.2, 0.4):
        x, y = boat.x + along * boat.length * cos, boat.y + along * boat.length * sin
        if left + 3 <= x < left + WINDOW - 3 and top + 3 <= y < top + WINDOW - 3:
            return True
    return False

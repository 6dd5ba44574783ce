"""Composition: one large scene, its boats, and the overlapping windows cut from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from boatseg_core.synth.coast import add_islets, add_shoals, add_shore
from boatseg_core.synth.harbour import Berth, add_fish_farm, add_harbour
from boatseg_core.synth.noise import F32
from boatseg_core.synth.sea import Sea, make_sea, pick_style
from boatseg_core.synth.sensor import expose
from boatseg_core.synth.ships import Boat, Kind, draw_boat, pick_kind
from boatseg_core.synth.sky import Clouds, make_clouds, veil
from boatseg_core.synth.wakes import add_wake

__all__ = [
    "MAX_BOATS",
    "MIN_MASK_PIXELS",
    "STRIDE",
    "WINDOW",
    "Instance",
    "Scene",
    "ScenePlan",
    "Window",
    "plan_scene",
    "render_scene",
    "render_windows",
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
_NATURAL_SHARE = 0.8

_OPEN_COUNTS = (0.56, 0.2, 0.1, 0.05, 0.04, 0.03, 0.02)


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


def _stream(seed: int, index: int, purpose: int) -> np.random.Generator:
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
    rng = _stream(seed, index, 0)
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


class _Fleet:
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
        return not any(_overlap(boat, other, margin) for other in self.boats)

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


def _overlap(a: Boat, b: Boat, margin: float) -> bool:
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


def _window_boxes(plan: ScenePlan) -> list[tuple[int, int]]:
    """Top left corners of the windows, row by row."""
    return [
        (row * STRIDE, column * STRIDE)
        for row in range(plan.rows)
        for column in range(plan.columns)
    ]


def _crowded(boats: list[Boat], plan: ScenePlan) -> bool:
    """Whether some window already has as many boats as allowed."""
    for top, left in _window_boxes(plan):
        seen = sum(_touches(boat, top, left) for boat in boats)
        if seen >= MAX_BOATS:
            return True
    return False


def _touches(boat: Boat, top: int, left: int) -> bool:
    """Whether any part of the boat may lie in the window."""
    xs = [x for x, _ in boat.corners(1.5)]
    ys = [y for _, y in boat.corners(1.5)]
    return max(xs) > left and min(xs) < left + WINDOW and max(ys) > top and min(ys) < top + WINDOW


def _populate(
    rng: np.random.Generator,
    plan: ScenePlan,
    fleet: _Fleet,
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
    for top, left in _window_boxes(plan):
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


def _lay(
    sea: Sea, boat: Boat, rng: np.random.Generator, sun: tuple[float, float], light: float
) -> None:
    """Lays shadow and hull of a boat on the water."""
    sprite = draw_boat(rng, boat, sun, light)
    rows, columns = sprite.alpha.shape
    height, width = sea.waves.shape
    throw = min(2.0 + 0.02 * boat.length, 7.0)
    dy, dx = round(sun[1] * throw), round(sun[0] * throw)
    dark = float(rng.uniform(0.25, 0.65))
    for shift_y, shift_x, weight in ((dy // 2, dx // 2, 0.6), (dy, dx, 0.6)):
        box = _clip(sprite.top + shift_y, sprite.left + shift_x, rows, columns, height, width)
        if box is None:
            continue
        there, part = box
        loss = np.float32(1) - sprite.alpha[part] * np.float32(dark * weight)
        sea.colour[:, there[0], there[1]] *= loss[None]
        sea.waves[there] *= loss
    box = _clip(sprite.top, sprite.left, rows, columns, height, width)
    if box is None:
        return
    there, part = box
    keep = np.float32(1) - sprite.alpha[part]
    target = sea.colour[:, there[0], there[1]]
    target *= keep[None]
    target += sprite.colour[:, part[0], part[1]]
    sea.waves[there] *= keep


def _clip(
    top: int, left: int, rows: int, columns: int, height: int, width: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Cuts a box to a picture: slices into the picture and into the box, or None outside."""
    y0, y1 = max(top, 0), min(top + rows, height)
    x0, x1 = max(left, 0), min(left + columns, width)
    if y0 >= y1 or x0 >= x1:
        return None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _annotate(rng: np.random.Generator, boat: Boat, taken: NDArray[np.bool_]) -> Instance | None:
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


def render_scene(seed: int, index: int, *, empty_share: float = 0.75) -> Scene:
    """Renders scene ``index`` of a data set.

    Args:
        seed: Seed of the data set.
        index: Number of the scene; scenes do not depend on each other.
        empty_share: Expected share of windows without boats, 0..1.

    Returns:
        The scene with its boats.
    """
    plan = plan_scene(seed, index, empty_share)
    height = WINDOW + (plan.rows - 1) * STRIDE
    width = WINDOW + (plan.columns - 1) * STRIDE
    rng = _stream(seed, index, 1)
    sea = make_sea(rng, height, width, pick_style(rng))

    rng = _stream(seed, index, 2)
    land = np.zeros((height, width), np.float32)
    berths: list[Berth] = []
    if rng.random() < 0.1:
        add_shoals(rng, sea)
    coastal = rng.random() < (0.2 if plan.boats else 0.16)
    if coastal:
        low, high = (0.04, 0.4) if plan.boats else (0.04, 0.85)
        land = add_shore(rng, sea, float(rng.uniform(low, high)))
    if rng.random() < 0.09:
        add_islets(rng, sea, land)
    if rng.random() < (0.6 if coastal and plan.boats else 0.12 if coastal else 0.01):
        berths = add_harbour(rng, sea, land)
    if rng.random() < 0.03:
        add_fish_farm(rng, sea)

    rng = _stream(seed, index, 3)
    clouds = make_clouds(rng, height, width) if rng.random() < 0.16 else None
    hazy = rng.random() < 0.3
    haze = float(rng.uniform(0.03, 0.4)) ** 1.3 if hazy else 0.0
    seam = rng.random() < 0.04

    boat_rng = _stream(seed, index, 4)
    fleet = _Fleet(land, clouds)
    if plan.boats:
        _populate(boat_rng, plan, fleet, berths, height, width)
    angle = float(rng.uniform(0, 2 * math.pi))
    sun = (math.cos(angle), math.sin(angle))
    light = float(np.clip(rng.normal(0.95, 0.16), 0.55, 1.3))
    boat_rng = _stream(seed, index, 5)
    for boat in fleet.boats:
        if boat.moving:
            add_wake(boat_rng, sea, boat)
    instances = []
    taken = np.zeros((height, width), np.bool_)
    for boat in fleet.boats:
        _lay(sea, boat, boat_rng, sun, light)
        instance = _annotate(boat_rng, boat, taken)
        if instance is not None:
            instances.append(instance)

    rgb = sea.colour
    rgb += sea.waves[None]
    veil(rng, rgb, clouds, haze=haze, seam=seam)
    return Scene(expose(_stream(seed, index, 6), rgb), instances, plan)


def cut_windows(scene: Scene) -> list[Window]:
    """Cuts the overlapping windows of a scene, row by row.

    Args:
        scene: A rendered scene.

    Returns:
        Windows whose images are views of the scene; boats are cut at the border.
    """
    windows = []
    for top, left in _window_boxes(scene.plan):
        instances = []
        for boat in scene.instances:
            rows, columns = boat.mask.shape
            box = _clip(boat.top - top, boat.left - left, rows, columns, WINDOW, WINDOW)
            if box is None:
                continue
            there, part = box
            mask = boat.mask[part]
            if np.count_nonzero(mask) >= MIN_MASK_PIXELS:
                instances.append(Instance(there[1].start, there[0].start, mask))
        image = scene.image[top : top + WINDOW, left : left + WINDOW]
        windows.append(Window(image, instances, top, left))
    return windows


def render_windows(seed: int, index: int, *, empty_share: float = 0.75) -> list[Window]:
    """Renders scene ``index`` and cuts it into its windows.

    Args:
        seed: Seed of the data set.
        index: Number of the scene, from 0.
        empty_share: Expected share of windows without boats, 0..1.

    Returns:
        The windows, row by row; neighbours overlap by two thirds.
    """
    return cut_windows(render_scene(seed, index, empty_share=empty_share))

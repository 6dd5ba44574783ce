"""Composition: the layers of one large scene in the order light meets them."""

from __future__ import annotations

import math

import numpy as np

from boatseg_core.synth.boats.fleet import Fleet, populate
from boatseg_core.synth.boats.ships import Boat, draw_boat
from boatseg_core.synth.land.coast import add_islets, add_shoals, add_shore
from boatseg_core.synth.land.harbour import Berth, add_fish_farm, add_harbour
from boatseg_core.synth.light.sensor import expose
from boatseg_core.synth.light.sky import make_clouds, veil
from boatseg_core.synth.plan import STRIDE, WINDOW, plan_scene, stream
from boatseg_core.synth.water.sea import Sea, make_sea, pick_style
from boatseg_core.synth.water.wakes import FAST, add_spray, add_wake
from boatseg_core.synth.windows import Scene, Window, annotate, clip, cut_windows

__all__ = ["render_scene", "render_windows"]


def lay(
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
        box = clip(sprite.top + shift_y, sprite.left + shift_x, rows, columns, height, width)
        if box is None:
            continue
        there, part = box
        loss = np.float32(1) - sprite.alpha[part] * np.float32(dark * weight)
        sea.colour[:, there[0], there[1]] *= loss[None]
        sea.waves[there] *= loss
    box = clip(sprite.top, sprite.left, rows, columns, height, width)
    if box is None:
        return
    there, part = box
    keep = np.float32(1) - sprite.alpha[part]
    target = sea.colour[:, there[0], there[1]]
    target *= keep[None]
    target += sprite.colour[:, part[0], part[1]]
    sea.waves[there] *= keep


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
    rng = stream(seed, index, 1)
    sea = make_sea(rng, height, width, pick_style(rng))

    rng = stream(seed, index, 2)
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
    if rng.random() < 0.08:
        add_fish_farm(rng, sea)

    rng = stream(seed, index, 3)
    clouds = make_clouds(rng, height, width) if rng.random() < 0.16 else None
    hazy = rng.random() < 0.22
    haze = float(rng.uniform(0.03, 0.4)) ** 1.3 if hazy else 0.0
    seam = rng.random() < 0.04

    boat_rng = stream(seed, index, 4)
    fleet = Fleet(land, clouds)
    if plan.boats:
        populate(boat_rng, plan, fleet, berths, height, width)
    angle = float(rng.uniform(0, 2 * math.pi))
    sun = (math.cos(angle), math.sin(angle))
    light = float(np.clip(rng.normal(0.95, 0.16), 0.55, 1.3))
    boat_rng, spray_rng = stream(seed, index, 5), stream(seed, index, 7)
    for boat in fleet.boats:
        if boat.moving:
            add_wake(boat_rng, sea, boat)
            if boat.length < FAST and spray_rng.random() < 0.5:
                add_spray(spray_rng, sea, boat)
    instances = []
    taken = np.zeros((height, width), np.bool_)
    for boat in fleet.boats:
        lay(sea, boat, boat_rng, sun, light)
        instance = annotate(boat_rng, boat, taken)
        if instance is not None:
            instances.append(instance)

    rgb = sea.colour
    rgb += sea.waves[None]
    veil(rng, rgb, clouds, haze=haze, seam=seam)
    return Scene(expose(stream(seed, index, 6), rgb), instances, plan)


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

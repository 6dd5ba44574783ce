"""Wakes: foam trails with bright edges, bow waves and Kelvin waves. Never part of a mask."""

from __future__ import annotations

import math

import numpy as np

from boatseg_core.synth.boats.ships import Boat
from boatseg_core.synth.noise import F32, clip01, quotient, smoothstep
from boatseg_core.synth.water.sea import Sea

__all__ = ["FAST", "add_spray", "add_wake"]

FAST = 60.0
"""Boats shorter than this, in pixels, may plane and throw spray."""


def _window(
    sea: Sea, boat: Boat, reach: float, side: float
) -> tuple[tuple[slice, slice], F32, F32] | None:
    """Pixels a wake can touch, and their places in the boat's frame.

    Args:
        sea: The sea.
        boat: The boat.
        reach: Distance astern of the boat's centre, pixels.
        side: Half width of the trail at its end, pixels.

    Returns:
        The slices of rows and columns; the distance astern of the centre and to starboard of the
        centre line, float32 ``[h, w]``; or None when nothing is inside the scene.
    """
    height, width = sea.waves.shape
    cos, sin = math.cos(boat.heading), math.sin(boat.heading)
    ahead = boat.length
    xs, ys = [], []
    for along, across in ((-ahead, -side), (-ahead, side), (reach, -side), (reach, side)):
        xs.append(boat.x - along * cos - across * sin)
        ys.append(boat.y - along * sin + across * cos)
    left, right = max(0, math.floor(min(xs))), min(width, math.ceil(max(xs)) + 1)
    top, bottom = max(0, math.floor(min(ys))), min(height, math.ceil(max(ys)) + 1)
    if right - left < 2 or bottom - top < 2:
        return None
    y = (np.arange(top, bottom, dtype=np.float32) - np.float32(boat.y))[:, None]
    x = (np.arange(left, right, dtype=np.float32) - np.float32(boat.x))[None, :]
    astern = -(x * np.float32(cos) + y * np.float32(sin))
    across_ = y * np.float32(cos) - x * np.float32(sin)
    return (slice(top, bottom), slice(left, right)), astern, across_


def _bump(distance: F32) -> F32:
    """A bell without exponentials: 1 at 0, about 0.25 at 1."""
    core = np.float32(1) + distance * distance
    return quotient(np.float32(1), core * core)


def _trail(
    rng: np.random.Generator, boat: Boat, behind: F32, off: F32, length: float, spread: float
) -> F32:
    """Opacity of the foam astern of the transom."""
    start = max(boat.beam * float(rng.uniform(0.32, 0.6)), 1.7)
    after = np.maximum(behind, np.float32(0))
    half = np.float32(start) + after * np.float32(spread)
    rel = quotient(off, half)
    age = clip01(after * np.float32(1 / length))
    fade = np.float32(1) - age
    fade = fade * fade if rng.random() < 0.6 else fade
    edge_at = np.float32(rng.uniform(0.65, 0.9))
    # Never narrower than the camera can see.
    width = np.maximum(half * np.float32(rng.uniform(0.14, 0.3)), np.float32(0.9))
    edges = _bump(quotient((np.abs(rel) - edge_at) * half, width))
    # A lop-sided wake: a turning boat, or wind on one side, leaves one edge brighter.
    lean = float(rng.normal(0, 0.3))
    edges *= clip01(np.float32(0.75) + np.where(rel > 0, np.float32(lean), np.float32(-lean)))
    core = smoothstep(1.15, 0.55, np.abs(rel))
    # Streaks run along the trail: a random profile across it.
    knots = np.linspace(-1.3, 1.3, 15)
    profile = np.interp(rel, knots, rng.uniform(0.15, 1.0, 15)).astype(np.float32)
    speckle = rng.standard_normal(rel.shape, dtype=np.float32) * np.float32(0.25) + np.float32(0.9)
    fill = float(rng.uniform(0.7, 1.7)) if boat.length < 60 else float(rng.uniform(0.3, 1.0))
    near = smoothstep(float(rng.uniform(0.15, 0.6)), 0.0, age)
    foam = edges * np.float32(rng.uniform(0.5, 1.0)) + core * profile * (
        np.float32(fill) * (near * np.float32(0.9) + np.float32(0.3))
    )
    return clip01(foam * speckle) * fade * smoothstep(-1.5, 1.0, behind)


def _kelvin(
    rng: np.random.Generator, boat: Boat, behind_bow: F32, off: F32, length: float, level: float
) -> F32:
    """Brightness of the diverging waves: feathered arms at a narrow angle behind the bow."""
    slope = float(rng.uniform(0.14, 0.34))
    after = np.maximum(behind_bow, np.float32(0))
    arm = np.abs(off) - (after * np.float32(slope) + np.float32(0.4 * boat.beam))
    width = np.float32(1.5) + after * np.float32(0.045)
    pitch = float(rng.uniform(5, 12))
    # Crests lie across the arm; a triangle wave does for a cosine.
    phase: F32 = (after + np.abs(off) * np.float32(0.7)) * np.float32(1 / pitch)
    crest: F32 = np.abs(phase - np.floor(phase) - np.float32(0.5)) * np.float32(4) - np.float32(1)
    fade = clip01(np.float32(1) - after * np.float32(1 / length))
    return _bump(quotient(arm, width)) * (crest + np.float32(0.3)) * fade * np.float32(level)


def add_wake(rng: np.random.Generator, sea: Sea, boat: Boat) -> None:
    """Draws the wake of a moving boat on the water, in place.

    Args:
        rng: Source of randomness.
        sea: The sea, changed in place.
        boat: A boat under way.
    """
    small = boat.length < FAST
    factor = float(rng.uniform(2.0, 16.0)) if small else float(rng.uniform(0.4, 2.6))
    length = min(boat.length * factor, 460.0)
    reach = boat.length / 2 + length
    spread = float(rng.uniform(0.015, 0.06)) if small else float(rng.uniform(0.01, 0.05))
    bend = float(rng.normal(0, 0.6)) / length if rng.random() < 0.5 else 0.0
    arms = rng.random() < 0.45
    side = boat.beam * 2 + length * max(spread * 1.6, 0.3 if arms else 0.1) + abs(bend) * reach**2
    found = _window(sea, boat, reach, min(side, 420.0))
    if found is None:
        return
    here, astern, off = found
    behind = astern - np.float32(boat.length / 2)
    path = np.maximum(behind, np.float32(0))
    off = off - path * path * np.float32(bend / 2)

    foam: F32 = _trail(rng, boat, behind, off, length, spread)
    if not small and rng.random() < 0.6:  # bow wave along the sides of a ship
        from_bow = astern + np.float32(boat.length / 2)
        ridge = np.abs(off) - (
            np.float32(boat.beam * 0.5) + np.maximum(from_bow, np.float32(0)) * np.float32(0.03)
        )
        run = smoothstep(boat.length * float(rng.uniform(0.3, 1.2)), 0.0, from_bow)
        run *= smoothstep(-2.0, 1.0, from_bow)
        lumps: F32 = rng.standard_normal(foam.shape, dtype=np.float32) * np.float32(
            0.3
        ) + np.float32(0.7)
        foam = clip01(
            foam
            + _bump(ridge * np.float32(1 / (1.0 + boat.beam * 0.06)))
            * run
            * lumps
            * np.float32(rng.uniform(0.15, 0.8))
        )
    strength = float(rng.choice((0.5, 0.9, 1.0, 1.0) if small else (0.4, 0.6, 0.8, 1.0))) * float(
        rng.uniform(0.75, 1.0)
    )
    foam *= np.float32(strength)
    # Aerated water around the foam turns turquoise; the ripples in it are gone.
    froth = clip01(foam * np.float32(1.6))
    sea.waves[here] *= np.float32(1) - froth * np.float32(0.7)
    tint = (0.6, 0.95, 1.0) if rng.random() < 0.2 else (0.95, 1.0, 0.97)
    peak = float(rng.uniform(175, 250))
    for channel in range(3):
        water = sea.colour[channel][here]
        # Thin foam shows the tint, thick foam is white.
        target = np.float32(peak) * (
            np.float32(tint[channel]) + (np.float32(1) - np.float32(tint[channel])) * foam
        )
        water += (target - water) * foam
    if arms:
        level = float(rng.uniform(2, 9)) + 0.5 * sea.roughness
        from_bow = astern + np.float32(boat.length / 2)
        sea.waves[here] += _kelvin(rng, boat, from_bow, off, length * 0.9, level)


def add_spray(rng: np.random.Generator, sea: Sea, boat: Boat) -> None:
    """Draws the white water of a planing boat, in place: along its sides and close astern.

    Seen from above it is as bright and nearly as wide as the hull, and no part of it.

    Args:
        rng: Source of randomness.
        sea: The sea, changed in place; the hull is laid on it afterwards.
        boat: A small boat under way.
    """
    length = boat.length * float(rng.uniform(0.5, 2.5))
    spread = float(rng.uniform(0.03, 0.16))
    start = boat.length * float(rng.uniform(-0.05, 0.35))  # forward of the centre
    reach = boat.length / 2 + length
    found = _window(sea, boat, reach, boat.beam + spread * (start + reach) + 2)
    if found is None:
        return
    here, astern, off = found
    aft = astern + np.float32(start)
    run = np.maximum(aft, np.float32(0))
    half = np.float32(boat.beam * float(rng.uniform(0.45, 0.65))) + run * np.float32(spread)
    lumps = rng.standard_normal(off.shape, dtype=np.float32) * np.float32(0.25)
    foam = smoothstep(1.2, 0.6, np.abs(quotient(off, half)))
    foam *= smoothstep(-1.0, 2.0, aft) * clip01(
        np.float32(1) - run * np.float32(1 / (start + reach))
    )
    foam = clip01(foam * (lumps + np.float32(rng.uniform(0.7, 1.6))))
    sea.waves[here] *= np.float32(1) - foam * np.float32(0.8)
    peak = float(rng.uniform(190, 250))
    for channel, tint in enumerate((0.97, 1.0, 0.99)):
        water = sea.colour[channel][here]
        water += (np.float32(peak * tint) - water) * foam

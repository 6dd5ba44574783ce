from __future__ import annotations

import math

import numpy as np
import pytest

from boatseg_core.synth.boats.ships import KINDS, Boat
from boatseg_core.synth.noise import F32
from boatseg_core.synth.water.sea import Sea, make_sea, pick_style
from boatseg_core.synth.water.wakes import add_spray

SIDE, CENTRE = 256, 128.0
LENGTH, BEAM = 30.0, 9.0


def water(seed: int = 1) -> Sea:
    rng = np.random.default_rng(seed)
    return make_sea(rng, SIDE, SIDE, pick_style(rng))


def boat(heading: float, x: float = CENTRE, y: float = CENTRE) -> Boat:
    return Boat(KINDS[-1], x, y, heading, LENGTH, BEAM, True)


def frame(heading: float) -> tuple[F32, F32]:
    """How far each pixel is ahead of the boat's centre, and to its side."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) - CENTRE
    cos, sin = math.cos(heading), math.sin(heading)
    return x * cos + y * sin, y * cos - x * sin


@pytest.mark.parametrize("heading", [0.0, 1.1, math.pi, 4.4])
@pytest.mark.parametrize("seed", range(3))
def test_spray_is_bright_behind_the_boat_and_nowhere_else(heading: float, seed: int) -> None:
    before, sea = water().colour, water()
    add_spray(np.random.default_rng(seed), sea, boat(heading))
    gained = (sea.colour - before).mean(axis=0)
    ahead, aside = frame(heading)
    wake = (ahead < -0.5 * LENGTH) & (ahead > -0.75 * LENGTH) & (np.abs(aside) < BEAM / 4)
    assert gained[wake].mean() > 40
    # Not before the bow, not far to the sides, not further astern than it is long.
    elsewhere = (ahead > 0.5 * LENGTH) | (np.abs(aside) > 3 * BEAM) | (ahead < -3.2 * LENGTH)
    assert np.abs(gained[elsewhere]).max() < 1.0


def test_spray_at_the_border_is_cut_and_outside_is_nothing() -> None:
    sea = water()
    add_spray(np.random.default_rng(2), sea, boat(math.pi, x=SIDE - 5.0))
    before = sea.colour.copy()
    assert np.isfinite(before).all()
    add_spray(np.random.default_rng(2), sea, boat(0.0, x=-400.0))
    np.testing.assert_array_equal(sea.colour, before)

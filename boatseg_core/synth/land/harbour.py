"""Harbours and things at sea that are not boats: moles, quays, pontoons, fish farms, buoys."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from boatseg_core.synth.land.coast import blend
from boatseg_core.synth.noise import F32, fractal
from boatseg_core.synth.water.sea import Sea

__all__ = ["Berth", "add_fish_farm", "add_harbour"]

_CORNERS = ((1, 1), (1, -1), (-1, -1), (-1, 1))
_SCALE = 2  # supersampling of drawn structures


@dataclass(frozen=True)
class Berth:
    """A place to moor.

    Attributes:
        x: Column of the centre of the moored boat, pixels.
        y: Row of it.
        heading: Direction of its bow, radians.
        length: Room along the boat, pixels.
        beam: Room across, pixels.
        kinds: Classes of vessel that moor here.
    """

    x: float
    y: float
    heading: float
    length: float
    beam: float
    kinds: tuple[str, ...]


class _Plan:
    """Draws structures on a supersampled mask in a frame turned by an angle."""

    def __init__(self, height: int, width: int, x: float, y: float, angle: float) -> None:
        self.mask = Image.new("L", (width * _SCALE, height * _SCALE))
        self.pen = ImageDraw.Draw(self.mask)
        self.x, self.y = x, y
        self.cos, self.sin = math.cos(angle), math.sin(angle)
        self.angle = angle
        self.bars: list[tuple[float, float, float, float]] = []

    def at(self, u: float, v: float) -> tuple[float, float]:
        """Turns plan coordinates into scene pixels."""
        return self.x + u * self.cos - v * self.sin, self.y + u * self.sin + v * self.cos

    def bar(self, u0: float, u1: float, v0: float, v1: float) -> None:
        """Fills a rectangle given in plan coordinates."""
        self.bars.append((u0, u1, v0, v1))
        corners = [self.at(u, v) for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))]
        self.pen.polygon([(x * _SCALE, y * _SCALE) for x, y in corners], fill=255)

    def stow(self, rng: np.random.Generator, paint: F32) -> None:
        """Litters the wider structures with sheds, stacks and cars, drawn into ``paint``."""
        _, height, width = paint.shape
        clutter = Image.new("RGBA", (width, height))
        pen = ImageDraw.Draw(clutter)
        for u0, u1, v0, v1 in self.bars:
            if min(abs(u1 - u0), abs(v1 - v0)) < 9:
                continue
            for _ in range(int(abs((u1 - u0) * (v1 - v0)) / 160)):
                u = float(rng.uniform(u0 + 3, u1 - 3))
                v = float(rng.uniform(v0 + 3, v1 - 3))
                long = float(rng.gamma(1.5, 1.6)) + 0.8
                wide = float(rng.uniform(0.6, 2.6))
                dark = [self.at(u + s * long + 1, v + t * wide + 1) for s, t in _CORNERS]
                pen.polygon(dark, fill=(20, 20, 22, 130))
                corners = [self.at(u + s * long, v + t * wide) for s, t in _CORNERS]
                level = rng.uniform(40, 215) + rng.normal(0, 14, 3)
                red, green, blue = (int(c) for c in np.clip(level, 10, 240))
                pen.polygon(corners, fill=(red, green, blue, 220))
        drawn = np.asarray(clutter, dtype=np.float32)
        cover = drawn[..., 3] * np.float32(1 / 255)
        blend(paint, cover, np.ascontiguousarray(drawn[..., :3].transpose(2, 0, 1)))

    def alpha(self) -> F32:
        """Opacity of what was drawn, float32 ``[H, W]``."""
        small = np.asarray(self.mask.reduce(_SCALE), dtype=np.float32)
        return small * np.float32(1 / 255)


def _moorings(
    rng: np.random.Generator,
    plan: _Plan,
    start: float,
    end: float,
    edge: float,
    outward: int,
    size: float,
) -> list[Berth]:
    """Berths side by side along a pontoon, bows out."""
    berths = []
    beam = size / float(rng.uniform(2.7, 3.5))
    u = start + beam
    occupied = float(rng.uniform(0.35, 0.9))
    while u < end - beam:
        if rng.random() < occupied:
            length = size * float(rng.uniform(0.75, 1.0))
            x, y = plan.at(u, edge + outward * (length / 2 + 1.5))
            turn = 0 if rng.random() < 0.8 else math.pi
            heading = plan.angle + outward * math.pi / 2 + turn + float(rng.normal(0, 0.03))
            berths.append(Berth(x, y, heading, length, beam, ("motor", "fishing")))
        u += beam * float(rng.uniform(1.25, 1.6)) + 1
    return berths


def add_harbour(rng: np.random.Generator, sea: Sea, land: F32) -> list[Berth]:
    """Builds a harbour out from the land (or a lone mole), and says where boats may moor.

    Args:
        rng: Source of randomness.
        sea: Sea, changed in place.
        land: Land, float32 ``[H, W]``; the structures are added to it in place.

    Returns:
        Berths in random order.
    """
    height, width = land.shape
    coarse = land[::16, ::16]
    wet = coarse < 0.01
    dry = coarse > 0.99
    near = np.zeros_like(wet)
    for dy in (-3, 0, 3):
        for dx in (-3, 0, 3):
            near |= np.roll(dry, (dy, dx), (0, 1))
    spots = np.argwhere(wet & near)
    inside = (
        (spots[:, 0] > 4)
        & (spots[:, 0] < height // 16 - 4)
        & (spots[:, 1] > 4)
        & (spots[:, 1] < width // 16 - 4)
    )
    spots = spots[inside]
    if len(spots):
        row, column = (float(v) * 16 for v in spots[int(rng.integers(len(spots)))])
    else:
        row, column = height * float(rng.uniform(0.2, 0.8)), width * float(rng.uniform(0.2, 0.8))
    # The plan's u axis points from land to water: away from the land's centre of mass nearby.
    weight = dry.astype(np.float64)
    total = float(weight.sum())
    if total > 0:
        mid_y = float((weight.sum(1) * np.arange(weight.shape[0])).sum()) / total * 16
        mid_x = float((weight.sum(0) * np.arange(weight.shape[1])).sum()) / total * 16
        angle = math.atan2(row - mid_y, column - mid_x) + float(rng.normal(0, 0.3))
    else:
        angle = float(rng.uniform(0, 2 * math.pi))

    plan = _Plan(height, width, column, row, angle)
    berths: list[Berth] = []
    style = rng.random()
    if style < 0.5:
        berths += _marina(rng, plan)
    else:
        berths += _port(rng, plan)
    alpha = plan.alpha()
    tone = float(rng.uniform(0.55, 1.0))
    stone = (140 * tone, 136 * tone, 128 * tone)
    texture = fractal(rng, height, width, 40, 6, gain=0.75)
    grain = np.float32(1) + texture * np.float32(rng.uniform(0.08, 0.2))
    paint = np.stack([grain * np.float32(c) for c in stone])
    plan.stow(rng, paint)
    # The quay's shadow on the water, then the quay.
    shadow = np.roll(alpha, (2, 1), (0, 1)) * np.float32(0.5)
    sea.colour *= (np.float32(1) - shadow * (np.float32(1) - land))[None]
    blend(sea.colour, alpha, paint)
    sea.waves *= np.float32(1) - alpha
    np.maximum(land, alpha, out=land)
    order = rng.permutation(len(berths))
    return [berths[int(i)] for i in order]


def _marina(rng: np.random.Generator, plan: _Plan) -> list[Berth]:
    """A mole around pontoons with small craft in rows."""
    berths: list[Berth] = []
    deep = float(rng.uniform(120, 240))
    wide = float(rng.uniform(100, 220))
    thick = float(rng.uniform(5, 11))
    plan.bar(-90, deep, -wide / 2 - thick, -wide / 2)
    plan.bar(deep - thick, deep, -wide / 2, wide / 2 * float(rng.uniform(-0.2, 0.7)))
    plan.bar(-60, -38, -wide / 2, wide / 2)
    pontoons = int(rng.integers(1, 4))
    for index in range(pontoons):
        size = float(rng.uniform(11, 24))
        v = -wide / 2 + wide * (index + 0.75) / pontoons
        end = deep * float(rng.uniform(0.5, 0.8))
        plan.bar(-40, end, v - 1.6, v + 1.6)
        berths += _moorings(rng, plan, -10, end, v + 1.6, 1, size)
        if pontoons < 3:
            berths += _moorings(rng, plan, -10, end, v - 1.6, -1, size)
    return berths


def _port(rng: np.random.Generator, plan: _Plan) -> list[Berth]:
    """A quay or finger pier with ships alongside and perhaps a breakwater."""
    berths: list[Berth] = []
    out = float(rng.uniform(120, 420))
    thick = float(rng.uniform(10, 60))
    plan.bar(-160, out, -thick / 2, thick / 2)
    if rng.random() < 0.5:
        arm = float(rng.uniform(80, 260)) * (1 if rng.random() < 0.5 else -1)
        plan.bar(out - 12, out, min(0.0, arm), max(0.0, arm))
    for side in (-1, 1):
        u = float(rng.uniform(0, 40))
        while u < out - 50:
            length = float(rng.uniform(45, 190))
            if u + length > out:
                break
            if rng.random() < 0.6:
                beam = length / float(rng.uniform(4.8, 6.2))
                x, y = plan.at(u + length / 2, side * (thick / 2 + beam / 2 + 1.5))
                turn = 0.0 if rng.random() < 0.5 else math.pi
                kinds: tuple[str, ...] = (
                    "bulker",
                    "tanker",
                    "container",
                    "coaster",
                    "ferry",
                    "barge",
                )
                if length < 80:
                    kinds = ("coaster", "ferry", "barge")
                berths.append(Berth(x, y, plan.angle + turn, length, beam, kinds))
            u += length + float(rng.uniform(8, 40))
    return berths


def add_fish_farm(rng: np.random.Generator, sea: Sea) -> None:
    """Adds rows of floating cages: a man-made thing at sea that is no boat."""
    height, width = sea.waves.shape
    x, y = width * float(rng.uniform(0.1, 0.9)), height * float(rng.uniform(0.1, 0.9))
    plan = _Plan(height, width, x, y, float(rng.uniform(0, math.pi)))
    cell = float(rng.uniform(14, 30))
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(3, 9))
    line = float(rng.uniform(1.4, 2.4))
    ring = rng.random() < 0.4
    if not ring and rng.random() < 0.5:  # rafts: walkways with pens between them
        line = float(rng.uniform(2.4, 5.0))
    for row in range(rows):
        for column in range(columns):
            u, v = column * cell, row * cell
            if ring:
                mid_x, mid_y = plan.at(u + cell / 2, v + cell / 2)
                radius = cell * 0.4
                box = [(mid_x - radius) * _SCALE, (mid_y - radius) * _SCALE,
                       (mid_x + radius) * _SCALE, (mid_y + radius) * _SCALE]  # fmt: skip
                plan.pen.ellipse(box, outline=255, width=max(1, round(line * _SCALE * 0.6)))
            else:
                plan.bar(u, u + cell, v, v + line)
                plan.bar(u, u + line, v, v + cell)
    if not ring:
        plan.bar(0, columns * cell, rows * cell, rows * cell + line)
        plan.bar(columns * cell, columns * cell + line, 0, rows * cell + line)
    tone = float(rng.uniform(0.5, 1.0))
    blend(sea.colour, plan.alpha() * np.float32(rng.uniform(0.5, 0.95)),
          (134 * tone, 140 * tone, 124 * tone))  # fmt: skip

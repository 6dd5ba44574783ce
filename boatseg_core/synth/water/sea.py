"""Open water: its colour, slow gradients, waves, gusts, whitecaps and sun glint."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from boatseg_core.synth.noise import (
    F32,
    WaveTrain,
    clip01,
    fractal,
    quotient,
    resize,
    smoothstep,
    wave_field,
)

__all__ = ["Sea", "SeaStyle", "make_sea", "pick_style"]


@dataclass(frozen=True)
class SeaStyle:
    """A family of seas.

    Attributes:
        name: Name of the family.
        weight: How often it is drawn, relative to the others.
        colour: Typical RGB of the water, 0..255.
        spread: Standard deviation of that colour between scenes.
        roughness: Range of the wave amplitude in grey levels (drawn log-uniformly).
        gradient: Range of the strength of slow colour changes in grey levels.
    """

    name: str
    weight: float
    colour: tuple[float, float, float]
    spread: float
    roughness: tuple[float, float]
    gradient: tuple[float, float]


STYLES = (
    SeaStyle("navy", 0.20, (6, 30, 58), 5, (4.5, 9.0), (0.5, 3)),
    SeaStyle("blue", 0.15, (14, 48, 70), 7, (4.5, 9.5), (1, 6)),
    SeaStyle("black", 0.09, (3, 21, 25), 3, (2.5, 11.0), (0.5, 2)),
    SeaStyle("bottle", 0.15, (12, 38, 38), 5, (4.5, 10.5), (0.5, 4)),
    SeaStyle("teal", 0.13, (8, 48, 55), 6, (4.0, 9.0), (1, 5)),
    SeaStyle("green", 0.07, (18, 72, 62), 8, (5.5, 10.5), (1, 7)),
    SeaStyle("olive", 0.05, (38, 62, 48), 6, (5.0, 10.0), (1, 6)),
    SeaStyle("turquoise", 0.04, (55, 118, 118), 14, (3.5, 11.0), (3, 10)),
    SeaStyle("slate", 0.07, (44, 68, 82), 10, (3.5, 12.0), (1, 6)),
    SeaStyle("silver", 0.04, (78, 85, 88), 18, (13.0, 24.0), (1, 6)),
    SeaStyle("chop", 0.05, (60, 98, 98), 14, (16.0, 36.0), (2, 7)),
    SeaStyle("murk", 0.02, (96, 104, 86), 14, (2.0, 9.0), (2, 8)),
)


@dataclass
class Sea:
    """A rendered sea surface; later layers change it in place.

    Attributes:
        colour: Water colour without waves, float32 ``[3, H, W]``, 0..255.
        waves: Brightness the waves add to every channel, float32 ``[H, W]``, grey levels.
        style: The family it was drawn from.
        wind: Unit vector ``(x, y)`` of the wind.
        roughness: Standard deviation of ``waves`` before later layers touch it.
    """

    colour: F32
    waves: F32
    style: SeaStyle
    wind: tuple[float, float]
    roughness: float


def pick_style(rng: np.random.Generator) -> SeaStyle:
    """Draws a sea style by weight."""
    at = float(rng.random()) * sum(style.weight for style in STYLES)
    for style in STYLES:
        at -= style.weight
        if at <= 0:
            return style
    return STYLES[-1]


def _unit(angle: float) -> tuple[float, float]:
    return math.cos(angle), math.sin(angle)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** float(rng.random()))


def _waves(
    rng: np.random.Generator, height: int, width: int, style: SeaStyle, wind: float
) -> tuple[F32, float]:
    """Sums wave trains, groups them, and sharpens the crests."""
    level = _log_uniform(rng, *style.roughness)
    rough = level > 12.0
    # Fine ripples carry most of the contrast at one and a half metres a pixel.
    base = float(rng.uniform(4.5, 7.0)) * (float(rng.uniform(1.0, 1.8)) if rough else 1.0)
    focus = int(rng.choice((1, 1, 2) if rough else (0, 0, 1, 1, 2)))
    trains = [WaveTrain(base, _unit(wind), level * 0.9, focus)]
    if rng.random() < 0.7 or rough:
        cross = wind + float(rng.normal(0, 0.5))
        longer = base * float(rng.uniform(1.8, 3.2))
        share = float(rng.uniform(0.3, 0.7)) if rough else float(rng.uniform(0.05, 0.4))
        trains.append(
            WaveTrain(longer, _unit(cross), level * share, int(rng.integers(0, 3)), False)
        )
    if rng.random() < 0.3:
        swell = wind + float(rng.normal(0, 0.9))
        length = float(rng.uniform(30, 80))
        trains.append(
            WaveTrain(length, _unit(swell), level * float(rng.uniform(0.04, 0.15)), 3, False)
        )
    fields = wave_field(rng, height, width, trains)
    if len(fields) > 1:
        # Short waves ride on the long ones: steeper, hence brighter, on one of their sides.
        long_level = trains[1].amplitude
        fields[0] *= clip01(
            np.float32(0.7) + fields[1] * np.float32(0.25 / long_level)
        ) + np.float32(0.3)
    total = fields[0]
    for field in fields[1:]:
        total = total + field
    # Facets that mirror the sky are few and bright: squares skew the distribution to the right.
    skew = float(rng.uniform(0.05, 0.22))
    total = total + (total * total) * np.float32(skew / level) - np.float32(skew * level)
    patches = fractal(rng, height, width, float(rng.uniform(120, 500)), 3, stretch=(1.0, 1.6))
    gusts = np.float32(0.85) + clip01(patches * np.float32(0.25) + np.float32(0.5)) * np.float32(
        rng.uniform(0.0, 0.4)
    )
    return total * gusts, level


def _colours(rng: np.random.Generator, height: int, width: int, style: SeaStyle) -> F32:
    """Water colour with slow gradients: depth, turbidity, and light across the frame."""
    common = float(rng.normal(0, 0.8))
    base = [c + style.spread * (0.8 * common + float(rng.normal(0, 0.3))) for c in style.colour]
    # Water is never purple: green keeps up with the mean of red and blue.
    base[1] = max(base[1], 0.5 * (base[0] + base[2]) - 1)
    strength = _log_uniform(rng, *style.gradient)
    rows, columns = height // 16, width // 16
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    turn = _unit(float(rng.uniform(0, 2 * math.pi)))
    ramp = (x * np.float32(turn[0] / columns) + y * np.float32(turn[1] / rows)) * np.float32(
        rng.uniform(0.2, 1.6)
    )
    stains = fractal(rng, rows, columns, float(rng.uniform(14, 44)), 3)
    slow = ramp + stains * np.float32(rng.uniform(0.1, 0.5))
    # Gradients change hue too: towards green where there is sediment, towards sky where hazy.
    lean = rng.normal((0.75, 1.0, 0.8), (0.35, 0.2, 0.35))
    other = rng.normal((0.2, 0.35, 0.3), 0.25)
    second = fractal(rng, rows, columns, float(rng.uniform(20, 60)), 2)
    channels = [
        resize(
            np.float32(max(base[c], 1.5))
            + slow * np.float32(strength * lean[c])
            + second * np.float32(strength * 0.4 * other[c]),
            height,
            width,
        )
        for c in range(3)
    ]
    return np.stack(channels)


def _whitecaps(rng: np.random.Generator, sea: Sea, density: float) -> None:
    """Adds breaking crests: short bright dashes across the wind, some with a foam tail."""
    height, width = sea.waves.shape
    count = int(rng.poisson(density * height * width / 1e6))
    across = (-sea.wind[1], sea.wind[0])
    for _ in range(count):
        length = float(rng.gamma(2.0, 1.6)) + 1.5
        thick = float(rng.uniform(0.7, 1.8))
        brightness = float(rng.uniform(12, 60)) * min(1.5, 0.5 + sea.roughness / 12)
        reach = int(length + 4)
        cx = int(rng.integers(reach, width - reach))
        cy = int(rng.integers(reach, height - reach))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        u = x * np.float32(across[0]) + y * np.float32(across[1])
        v = x * np.float32(-across[1]) + y * np.float32(across[0])
        v = v + u * u * np.float32(float(rng.normal(0, 0.03)))
        u = u * np.float32(1 / length)
        v = v * np.float32(1 / thick)
        profile = np.float32(1) + u * u + v * v
        spot = quotient(np.float32(brightness), profile * profile * profile)
        sea.waves[cy - reach : cy + reach + 1, cx - reach : cx + reach + 1] += spot


def _glint(rng: np.random.Generator, sea: Sea) -> None:
    """Brightens one side of the frame, where facets throw the sun at the camera."""
    height, width = sea.waves.shape
    rows, columns = height // 16, width // 16
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    turn = _unit(float(rng.uniform(0, 2 * math.pi)))
    along = (x * np.float32(1 / columns) - np.float32(0.5)) * np.float32(turn[0]) + (
        y * np.float32(1 / rows) - np.float32(0.5)
    ) * np.float32(turn[1])
    along = along + fractal(rng, rows, columns, 30, 2) * np.float32(0.08)
    ramp = resize(smoothstep(float(rng.uniform(-0.5, 0.1)), 0.8, along), height, width)
    gain = float(rng.uniform(0.5, 1.6))
    lift = float(rng.uniform(8, 38))
    sea.waves *= np.float32(1) + ramp * np.float32(gain)
    positive = np.maximum(sea.waves, np.float32(0))
    sea.waves += ramp * (positive * positive) * np.float32(0.12 * gain / sea.roughness)
    for channel, tint in enumerate((1.0, 0.96, 0.88)):
        sea.colour[channel] += ramp * np.float32(lift * tint)


def _slicks(rng: np.random.Generator, sea: Sea) -> None:
    """Draws slicks: wandering bands where surface film damps the ripples."""
    height, width = sea.waves.shape
    field = fractal(rng, height, width, float(rng.uniform(180, 420)), 4, stretch=(1.0, 1.5))
    band = field * np.float32(1 / float(rng.uniform(0.05, 0.16)))
    damp = quotient(np.float32(1), np.float32(1) + band * band)
    sea.waves *= np.float32(1) - damp * np.float32(rng.uniform(0.3, 0.75))
    shift = float(rng.normal(0, 2.2))
    sea.colour += (damp * np.float32(shift))[None]


def make_sea(rng: np.random.Generator, height: int, width: int, style: SeaStyle) -> Sea:
    """Renders open water.

    Args:
        rng: Source of randomness.
        height: Rows, a multiple of 16.
        width: Columns, a multiple of 16.
        style: Family of seas to draw from.

    Returns:
        The sea, without coast, boats, clouds or sensor effects.
    """
    wind = float(rng.uniform(0, 2 * math.pi))
    waves, level = _waves(rng, height, width, style, wind)
    sea = Sea(_colours(rng, height, width, style), waves, style, _unit(wind), level)
    if rng.random() < 0.18:
        _glint(rng, sea)
    if rng.random() < 0.3:
        _slicks(rng, sea)
    if rng.random() < 0.4:
        _whitecaps(rng, sea, _log_uniform(rng, 3, 160) * (0.4 if level < 2 else 1.0))
    return sea

"""Land: shores with shallow water, surf, sand, rock, vegetation and houses; islets and rocks."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from boatseg_core.synth.noise import F32, clip01, fractal, resize, smoothstep
from boatseg_core.synth.water.sea import Sea

__all__ = ["add_islets", "add_shoals", "add_shore", "blend"]

_SAND = ((168, 150, 118), (138, 118, 92), (190, 176, 148), (120, 104, 88))
_ROCK = ((84, 74, 66), (70, 62, 58), (104, 92, 80), (60, 58, 58))
_GREEN = ((46, 60, 38), (58, 66, 40), (34, 50, 36), (76, 78, 50))
_URBAN = ((122, 116, 110), (138, 128, 118), (106, 106, 104))


def blend(rgb: F32, alpha: F32, colour: F32 | tuple[float, float, float]) -> None:
    """Paints a colour over a picture in place.

    Args:
        rgb: Picture, float32 ``[3, H, W]``.
        alpha: Opacity, float32 ``[H, W]``, 0..1.
        colour: Picture of the same shape, or one RGB colour.
    """
    for channel in range(3):
        target = colour[channel]
        paint = target if isinstance(target, np.ndarray) else np.float32(target)
        rgb[channel] += (paint - rgb[channel]) * alpha


def _pick(
    rng: np.random.Generator, colours: tuple[tuple[int, int, int], ...], light: float
) -> tuple[float, float, float]:
    chosen = colours[int(rng.integers(len(colours)))]
    tone = light * float(rng.normal(1, 0.1))
    red, green, blue = (max(4.0, c * tone + float(rng.normal(0, 2))) for c in chosen)
    return red, green, blue


def _shallows(rng: np.random.Generator, sea: Sea, depth: F32, strength: float) -> None:
    """Lets the ground shine through where ``depth`` (0 at the shore, 1 in deep water) is small."""
    clear = clip01(np.float32(1) - depth)
    clear = clear * clear * np.float32(strength)
    clear_water = rng.random() < 0.55
    if clear_water:
        tint = rng.normal((46, 112, 110), (14, 14, 12))
    else:  # river mouths and tidal flats: sediment, not sand under clear water
        tint = rng.normal((96, 100, 78), (12, 10, 10))
    # The ground is seen through the water of this sea, whose colour stays in the mixture.
    mean = sea.colour[:, ::64, ::64].mean((1, 2), dtype=np.float64)
    mixed = [float(0.6 * t + 0.5 * m) for t, m in zip(tint, mean, strict=True)]
    blend(sea.colour, clear, (mixed[0], mixed[1], mixed[2]))
    # Waves die out in the lee of the land.
    sea.waves *= np.float32(0.35) + clip01(depth) * np.float32(0.65)


def add_shoals(rng: np.random.Generator, sea: Sea) -> None:
    """Adds sand banks or weed under the water, without land."""
    height, width = sea.waves.shape
    field = fractal(rng, height // 4, width // 4, float(rng.uniform(50, 140)), 5)
    field = resize(field, height, width)
    low = float(rng.uniform(0.4, 1.2))
    bank = smoothstep(low, low + float(rng.uniform(0.2, 1.2)), field)
    if rng.random() < 0.6:
        tint = tuple(float(v) for v in rng.normal((56, 98, 84), (14, 14, 14)))
        amount = float(rng.uniform(0.2, 0.7))
    else:
        tint = tuple(float(v) for v in np.clip(rng.normal((14, 30, 28), 5), 2, 60))
        amount = float(rng.uniform(0.3, 0.7))
    blend(sea.colour, bank * np.float32(amount), (tint[0], tint[1], tint[2]))


def _ground(rng: np.random.Generator, height: int, width: int, inland: F32) -> F32:
    """Colours dry land: beach to rock to green or town by distance from the water and by noise."""
    light = float(rng.uniform(0.6, 1.0))
    relief = fractal(rng, height, width, float(rng.uniform(80, 200)), 8, gain=0.6)
    cover = fractal(rng, height, width, float(rng.uniform(120, 260)), 8, gain=0.66)
    # Land cover has ragged edges: noise moves the thresholds between classes.
    ragged = inland + cover * np.float32(0.02)
    ground = np.empty((3, height, width), np.float32)
    rock = _pick(rng, _ROCK if rng.random() < 0.7 else _SAND, light)
    for channel in range(3):
        ground[channel] = rock[channel]
    earth = _pick(rng, _ROCK + _SAND, light)
    blend(ground, smoothstep(-1.2, 1.2, relief) * np.float32(0.7), earth)
    green = smoothstep(-0.7, 0.9, cover + np.float32(rng.normal(0.1, 0.8)))
    green *= smoothstep(0.02, 0.2, ragged)
    blend(ground, green * np.float32(0.9), _pick(rng, _GREEN, light))
    if rng.random() < 0.55:
        beach = smoothstep(float(rng.uniform(0.03, 0.1)), 0.0, ragged)
        blend(ground, beach * np.float32(0.8), _pick(rng, _SAND, light * 1.05))
    # Light from one side: the slope of the relief along the diagonal.
    slope = np.zeros_like(relief)
    slope[1:, 1:] = relief[1:, 1:] - relief[:-1, :-1]
    shade = np.float32(1) + np.clip(slope * np.float32(rng.uniform(0.3, 0.9)), -0.4, 0.4)
    grain = rng.standard_normal((height // 2, width // 2), dtype=np.float32)
    shade += resize(grain, height, width) * np.float32(rng.uniform(0.03, 0.11))
    shade += relief * np.float32(rng.uniform(0.02, 0.08))
    ground *= shade[None]
    return ground


def _houses(rng: np.random.Generator, ground: F32, inland: F32) -> None:
    """Scatters roofs and their shadows along parallel streets: bright boxes that are not boats."""
    height, width = inland.shape
    roofs = Image.new("RGBA", (width, height))
    pen = ImageDraw.Draw(roofs)
    angle = float(rng.uniform(0, math.pi))
    ux, uy = math.cos(angle), math.sin(angle)
    pitch = float(rng.uniform(13, 30))
    cx, cy = width * float(rng.random()), height * float(rng.random())
    steps = int(2 * float(rng.uniform(80, 300)) / pitch)
    sx, sy = (float(v) for v in rng.uniform(-3, 3, 2))

    def box(x: float, y: float, a: float, b: float, fill: tuple[int, ...]) -> None:
        corners = [(x + s * a * ux - t * b * uy, y + s * a * uy + t * b * ux)
                   for s, t in ((1, 1), (1, -1), (-1, -1), (-1, 1))]  # fmt: skip
        pen.polygon(corners, fill=fill)

    for row in range(steps):
        for column in range(steps):
            a = (row - steps / 2) * pitch + float(rng.normal(0, pitch * 0.12))
            b = (column - steps / 2) * pitch * 1.2 + float(rng.normal(0, pitch * 0.12))
            x, y = cx + a * ux - b * uy, cy + a * uy + b * ux
            far = (a * a + b * b) ** 0.5 / (steps * pitch / 2)
            if not (4 < x < width - 4 and 4 < y < height - 4) or rng.random() < 0.2 + 0.8 * far:
                continue
            if inland[int(y), int(x)] < 0.05:
                continue
            long, wide = (float(v) * pitch for v in rng.uniform(0.14, 0.42, 2))
            tone = float(rng.uniform(0.55, 1.45))
            red, green, blue = (int(min(c, 245)) for c in _pick(rng, _URBAN, tone))
            box(x + sx, y + sy, long, wide, (20, 22, 24, 150))
            box(x, y, long, wide, (red, green, blue, 235))
            if rng.random() < 0.5:  # the far slope of a pitched roof
                dim = (int(red * 0.8), int(green * 0.8), int(blue * 0.8), 235)
                box(x + wide * 0.5 * uy, y - wide * 0.5 * ux, long, wide * 0.5, dim)
    drawn = np.asarray(roofs, dtype=np.float32)
    alpha = drawn[..., 3] * np.float32(1 / 255)
    blend(ground, alpha, np.ascontiguousarray(drawn[..., :3].transpose(2, 0, 1)))


def add_shore(rng: np.random.Generator, sea: Sea, share: float) -> F32:
    """Adds a coast along one side of the scene.

    Args:
        rng: Source of randomness.
        sea: Sea to change in place.
        share: Share of the scene that becomes land, 0..1.

    Returns:
        Land, float32 ``[H, W]``: 1 on land, 0 on water, soft at the waterline.
    """
    height, width = sea.waves.shape
    rows, columns = height // 4, width // 4
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    angle = float(rng.uniform(0, 2 * math.pi))
    ramp = x * np.float32(math.cos(angle) / columns) + y * np.float32(math.sin(angle) / rows)
    terrain = ramp * np.float32(rng.uniform(3, 6)) + fractal(
        rng, rows, columns, float(rng.uniform(60, 150)), 6, gain=float(rng.uniform(0.42, 0.6))
    )
    # Distances read best when the field is levelled: 0 at the waterline, about 1 far from it.
    level = float(np.quantile(terrain, 1 - share))
    inland = resize((terrain - np.float32(level)) * np.float32(0.4), height, width)
    inland += fractal(rng, height, width, 40, 5, gain=0.6) * np.float32(rng.uniform(0.008, 0.024))
    land = smoothstep(-0.007, 0.007, inland)
    depth = clip01(-inland * np.float32(rng.uniform(1.2, 5)))
    _shallows(rng, sea, depth, float(rng.uniform(0.3, 0.9)))
    ground = _ground(rng, height, width, clip01(inland))
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            _houses(rng, ground, inland)
    if rng.random() < 0.6:
        wash = fractal(rng, height, width, 24, 3)
        surf = smoothstep(0.03, 0.0, np.abs(inland + wash * np.float32(0.008) + np.float32(0.012)))
        surf *= clip01(wash * np.float32(0.5) + np.float32(rng.uniform(-0.1, 0.5)))
        blend(sea.colour, surf * np.float32(rng.uniform(0.3, 0.9)), (205, 212, 208))
    blend(sea.colour, land, ground)
    sea.waves *= np.float32(1) - land
    return land


def add_islets(rng: np.random.Generator, sea: Sea, land: F32) -> None:
    """Adds a few rocks or islets awash: decoys about as large as boats.

    Args:
        rng: Source of randomness.
        sea: Sea to change in place.
        land: Land so far, float32 ``[H, W]``; the islets are added in place.
    """
    height, width = land.shape
    light = float(rng.uniform(0.7, 1.2))
    colour = _pick(rng, _ROCK, light)
    home = (float(rng.uniform(0.1, 0.9)) * width, float(rng.uniform(0.1, 0.9)) * height)
    spread = float(rng.uniform(30, 200))
    for _ in range(int(rng.integers(1, 7))):
        radius = float(rng.gamma(1.6, 9)) + 3
        box = int(radius * 2.6) + 8
        cx = int(home[0] + float(rng.normal(0, spread)))
        cy = int(home[1] + float(rng.normal(0, spread)))
        top, left = max(cy - box, 0), max(cx - box, 0)
        bottom, right = min(cy + box, height), min(cx + box, width)
        if bottom - top < 8 or right - left < 8:
            continue
        y, x = np.mgrid[top - cy : bottom - cy, left - cx : right - cx].astype(np.float32)
        long = float(rng.uniform(0.5, 1.0))
        turn = float(rng.uniform(0, math.pi))
        u = x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))
        v = (y * np.float32(math.cos(turn)) - x * np.float32(math.sin(turn))) * np.float32(1 / long)
        distance = np.sqrt(u * u + v * v) * np.float32(1 / radius)
        rough = fractal(rng, bottom - top, right - left, max(radius, 8.0), 4, gain=0.6)
        form = np.float32(1) - distance + rough * np.float32(0.28)
        rock = smoothstep(-0.06, 0.06, form)
        here = (slice(top, bottom), slice(left, right))
        shelf = smoothstep(-1.3, 0.0, form) * np.float32(0.45)
        for channel, tint in enumerate((40.0, 84.0, 80.0)):
            water = sea.colour[channel][here]
            water += (np.float32(tint) - water) * shelf
        wash = smoothstep(0.3, 0.0, np.abs(form + np.float32(0.1))) * clip01(rough)
        texture = np.float32(1) + fractal(rng, bottom - top, right - left, 8, 3) * np.float32(0.2)
        for channel in range(3):
            water = sea.colour[channel][here]
            water += (np.float32(200) - water) * wash * np.float32(0.7)
            water += (texture * np.float32(colour[channel]) - water) * rock
        sea.waves[here] *= np.float32(1) - rock
        land[here] = np.maximum(land[here], rock)

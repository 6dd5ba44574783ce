"""Boats seen from above: hulls of every kind as small RGBA pictures, bow to the right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from boatseg_core.synth.boats.decks import DRESSERS, Deck, Tone, shade
from boatseg_core.synth.noise import F32, resize

__all__ = ["KINDS", "Boat", "Kind", "Sprite", "draw_boat", "pick_kind"]


@dataclass(frozen=True)
class Kind:
    """A class of vessel.

    Attributes:
        name: Name of the class; also selects how its deck is dressed.
        weight: How often it is drawn in open water, relative to the others.
        length: Range of the length in pixels (drawn log-uniformly).
        aspect: Range of length over beam.
        bow: Share of the length over which the hull tapers to the stem.
        stern: Beam at the transom relative to the full beam.
        moving: Probability of being under way, with a wake.
        hulls: Typical RGB colours of hull and deck.
    """

    name: str
    weight: float
    length: tuple[float, float]
    aspect: tuple[float, float]
    bow: float
    stern: float
    moving: float
    hulls: tuple[Tone, ...]


_WHITE = (218.0, 218.0, 212.0)
_GREY = (118.0, 122.0, 120.0)
_RED = (150.0, 66.0, 58.0)
_BROWN = (112.0, 66.0, 54.0)
_ORANGE = (226.0, 92.0, 52.0)
_GREEN = (96.0, 118.0, 98.0)
_MINT = (128.0, 172.0, 150.0)
_BEIGE = (176.0, 164.0, 138.0)
_BLUE = (84.0, 104.0, 138.0)
_DARK = (72.0, 74.0, 80.0)

KINDS = (
    Kind("tanker", 0.13, (62, 305), (5.0, 6.6), 0.14, 0.62, 0.45,
         (_RED, _RED, _RED, _GREY, _GREY, _GREEN, _ORANGE, _BROWN, _BROWN, _MINT, _BEIGE)),
    Kind("bulker", 0.15, (60, 280), (5.0, 6.6), 0.13, 0.66, 0.4,
         (_RED, _BROWN, _BROWN, _GREY, _GREEN, _BEIGE)),
    Kind("container", 0.09, (72, 320), (5.6, 7.4), 0.18, 0.85, 0.5,
         (_RED, _DARK, _BLUE, _BROWN, _GREY)),
    Kind("coaster", 0.12, (32, 105), (4.6, 6.4), 0.16, 0.75, 0.55,
         (_RED, _GREY, _BROWN, _GREEN, _BLUE, _BEIGE)),
    Kind("ferry", 0.06, (42, 180), (3.8, 6.6), 0.2, 0.9, 0.7, (_WHITE, _WHITE, _BLUE, _GREY)),
    Kind("barge", 0.07, (24, 90), (2.2, 4.2), 0.04, 0.97, 0.15, (_BROWN, _GREY, _BEIGE, _DARK)),
    Kind("fishing", 0.17, (13, 40), (2.8, 4.2), 0.34, 0.8, 0.6,
         (_WHITE, _WHITE, _BLUE, _RED, _GREEN, _DARK)),
    Kind("motor", 0.30, (7.5, 25), (2.6, 4.2), 0.45, 0.85, 0.75, (_WHITE, _WHITE, _BEIGE, _GREY)),
)  # fmt: skip


@dataclass(frozen=True)
class Boat:
    """Where a boat lies and what it is.

    Attributes:
        kind: Class of vessel.
        x: Column of the centre in the scene, pixels.
        y: Row of the centre in the scene, pixels.
        heading: Direction of the bow in radians, clockwise from the x axis (rows grow downwards).
        length: Length over all, pixels.
        beam: Greatest width, pixels.
        moving: Whether it leaves a wake.
    """

    kind: Kind
    x: float
    y: float
    heading: float
    length: float
    beam: float
    moving: bool

    @property
    def radius(self) -> float:
        """Radius of the circle around the hull, pixels."""
        return 0.5 * math.sqrt(self.length**2 + self.beam**2)

    def corners(self, grow: float = 0.0) -> list[tuple[float, float]]:
        """The rotated rectangle around the hull, ``grow`` pixels wider on every side."""
        a, b = self.length / 2 + grow, self.beam / 2 + grow
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        signs = ((1, 1), (1, -1), (-1, -1), (-1, 1))
        return [
            (self.x + s * a * cos - t * b * sin, self.y + s * a * sin + t * b * cos)
            for s, t in signs
        ]


@dataclass(frozen=True)
class Sprite:
    """A drawn boat, ready to be laid on the water.

    Attributes:
        colour: Float32 ``[3, h, w]``, 0..255.
        alpha: Float32 ``[h, w]``, 0..1.
        left: Column of its first pixel in the scene.
        top: Row of its first pixel in the scene.
    """

    colour: F32
    alpha: F32
    left: int
    top: int


def pick_kind(rng: np.random.Generator, names: tuple[str, ...] | None = None) -> Kind:
    """Draws a class of vessel by weight, from all or from the named ones."""
    kinds = [kind for kind in KINDS if names is None or kind.name in names]
    at = float(rng.random()) * sum(kind.weight for kind in kinds)
    for kind in kinds:
        at -= kind.weight
        if at <= 0:
            return kind
    return kinds[-1]


def hull_outline(
    kind: Kind, length: float, beam: float, pad: float, scale: float
) -> list[tuple[float, float]]:
    """Outlines a hull in sprite coordinates.

    Args:
        kind: Class of vessel.
        length: Length in pixels.
        beam: Width in pixels.
        pad: Margin around the hull in pixels.
        scale: Sprite pixels per scene pixel.

    Returns:
        Polygon ``(x, y)`` in sprite pixels, bow to the right.
    """
    half = beam / 2
    upper: list[tuple[float, float]] = []
    stern = half * kind.stern
    run = min(0.08 * length, beam * 0.45)
    for step in range(5):  # quarter curve from transom to full beam
        t = step / 4
        upper.append((run * t, stern + (half - stern) * math.sin(t * math.pi / 2)))
    entry = kind.bow * length
    power = 2.2 if kind.bow < 0.25 else 1.8
    for step in range(11):
        t = step / 10
        upper.append((length - entry + entry * t, half * max(0.0, 1 - t**power) ** 0.75))
    points = [(x, half - y) for x, y in upper] + [(x, half + y) for x, y in reversed(upper)]
    return [((x + pad) * scale, (y + pad) * scale) for x, y in points]


def _weather(
    rng: np.random.Generator, picture: Image.Image, fall: tuple[float, float]
) -> Image.Image:
    """Lights a deck from one side and stains it, so that no area is one flat colour."""
    width, height = picture.size
    rows, columns = max(2, height // 12), max(2, width // 12)
    stains = resize(rng.standard_normal((rows, columns), dtype=np.float32), height, width)
    across = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    along = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    lit = across * np.float32(-0.16 * fall[1]) + along * np.float32(rng.normal(0, 0.06))
    field = (np.float32(1) + stains * np.float32(rng.uniform(0.04, 0.14)) + lit)[..., None]
    deck = np.asarray(picture, dtype=np.float32) * field
    return Image.fromarray(np.clip(deck, 0, 255).astype(np.uint8))


def draw_boat(
    rng: np.random.Generator, boat: Boat, sun: tuple[float, float], light: float
) -> Sprite:
    """Draws a boat at its place and heading.

    Args:
        rng: Source of randomness (colours, deck).
        boat: The boat.
        sun: Unit vector ``(x, y)`` along which shadows fall in the scene.
        light: Brightness of the scene, about 1.

    Returns:
        The boat as a colour picture with opacity.
    """
    scale = 8 if boat.length < 40 else 6 if boat.length < 90 else 4
    pad = 3.0
    width = math.ceil((boat.length + 2 * pad) * scale)
    height = math.ceil((boat.beam + 2 * pad) * scale)
    outline = hull_outline(boat.kind, boat.length, boat.beam, pad, scale)
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon(outline, fill=255)

    tone = boat.kind.hulls[int(rng.integers(len(boat.kind.hulls)))]
    gain = light * float(np.clip(rng.normal(1.1, 0.18), 0.6, 1.6))
    # Paint seen through kilometres of air is paler than paint.
    pale = float(rng.uniform(0.0, 0.45))
    grey = sum(tone) / 3
    red, green, blue = (
        float(np.clip((c + (grey - c) * pale) * gain + rng.normal(0, 5), 8, 250)) for c in tone
    )
    tone = (red, green, blue)
    picture = Image.new("RGB", (width, height), shade(tone, 1.0))
    # Shadows in the boat's own frame: the sun turned by minus the heading.
    cos, sin = math.cos(boat.heading), math.sin(boat.heading)
    fall = (sun[0] * cos + sun[1] * sin, sun[1] * cos - sun[0] * sin)
    deck = Deck(picture, boat.length, boat.beam, pad, scale, tone, gain, fall)
    DRESSERS[boat.kind.name](rng, deck)
    # Bulwark: a thin rim, lighter on the sunny side and darker on the lee.
    pen = ImageDraw.Draw(picture)
    half = len(outline) // 2
    rim = max(1, round(scale * (0.9 if boat.length > 60 else 0.6)))
    lit = 1.25 if fall[1] > 0 else 0.6
    pen.line(outline[:half], fill=shade(tone, lit), width=rim)
    pen.line(outline[half:], fill=shade(tone, 1.85 - lit), width=rim)

    picture = _weather(rng, picture, fall)
    picture.putalpha(mask)
    turned = picture.rotate(-math.degrees(boat.heading), Image.Resampling.BILINEAR, expand=True)
    # Keep the sub-pixel position: pad so that the sprite's centre falls on the boat's.
    side_x = math.ceil(turned.width / scale / 2) + 1
    side_y = math.ceil(turned.height / scale / 2) + 1
    left, top = math.floor(boat.x) - side_x, math.floor(boat.y) - side_y
    canvas = Image.new("RGBA", ((2 * side_x + 2) * scale, (2 * side_y + 2) * scale))
    canvas.paste(
        turned,
        (
            round((boat.x - left) * scale - turned.width / 2),
            round((boat.y - top) * scale - turned.height / 2),
        ),
    )
    small = np.asarray(canvas.convert("RGBa").reduce(scale), dtype=np.float32)
    alpha = small[..., 3] * np.float32(1 / 255)
    # Premultiplied colours blend as they are: water * (1 - alpha) + colour.
    return Sprite(np.ascontiguousarray(small[..., :3].transpose(2, 0, 1)), alpha, left, top)

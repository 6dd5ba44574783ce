"""What stands on deck: hatches, pipes, containers, houses, wheelhouses, clutter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["DRESSERS", "Deck", "Tone", "shade"]

Tone = tuple[float, float, float]

_BOXES: tuple[Tone, ...] = (
    (150, 62, 48), (176, 84, 56), (60, 84, 128), (70, 110, 140), (206, 200, 188), (222, 206, 168),
    (104, 112, 110), (84, 120, 92), (196, 158, 84), (92, 58, 52), (216, 196, 160), (120, 74, 62),
)  # fmt: skip
_HOUSE: tuple[Tone, ...] = ((226, 226, 220), (208, 204, 190), (214, 196, 150), (186, 188, 186))


def shade(tone: Tone, gain: float) -> tuple[int, int, int]:
    """Scales a colour and turns it into bytes."""
    red, green, blue = (int(min(255.0, max(0.0, c * gain))) for c in tone)
    return red, green, blue


@dataclass
class Deck:
    """A deck to be dressed, in pixels from the stern (along) and from the centre line (across).

    Attributes:
        picture: Sprite being drawn on.
        length: Length of the hull, scene pixels.
        beam: Width of the hull, scene pixels.
        pad: Margin around the hull, scene pixels.
        scale: Sprite pixels per scene pixel.
        tone: Colour of hull and deck.
        gain: Brightness relative to full daylight.
        fall: Unit vector ``(along, across)`` in which shadows fall.
    """

    picture: Image.Image
    length: float
    beam: float
    pad: float
    scale: int
    tone: Tone
    gain: float
    fall: tuple[float, float]

    def __post_init__(self) -> None:
        self.pen = ImageDraw.Draw(self.picture)

    def _box(self, x0: float, x1: float, y0: float, y1: float) -> tuple[float, ...]:
        middle = self.beam / 2 + self.pad
        left, right = sorted(((x0 + self.pad) * self.scale, (x1 + self.pad) * self.scale))
        top, bottom = sorted(((middle + y0) * self.scale, (middle + y1) * self.scale))
        return left, top, right, bottom

    def block(
        self, x0: float, x1: float, y0: float, y1: float, tone: Tone, *, tall: float = 0.0
    ) -> None:
        """Draws a box from ``x0`` to ``x1`` along and ``y0`` to ``y1`` across.

        Args:
            x0: Aft end, scene pixels from the stern.
            x1: Forward end.
            y0: One side, scene pixels from the centre line.
            y1: The other side.
            tone: Colour of its top.
            tall: Length of the shadow it throws, scene pixels.
        """
        if tall > 0:
            dx, dy = self.fall[0] * tall, self.fall[1] * tall
            dark = shade(self.tone, 0.35)
            for part in (0.5, 1.0):
                self.pen.rectangle(
                    self._box(x0 + dx * part, x1 + dx * part, y0 + dy * part, y1 + dy * part), dark
                )
        self.pen.rectangle(self._box(x0, x1, y0, y1), shade(tone, self.gain))

    def line(self, x0: float, x1: float, y0: float, y1: float, tone: Tone, width: float) -> None:
        """Draws a line, ``width`` in scene pixels."""
        middle = self.beam / 2 + self.pad
        points = [
            ((x + self.pad) * self.scale, (middle + y) * self.scale)
            for x, y in ((x0, y0), (x1, y1))
        ]
        self.pen.line(points, fill=shade(tone, self.gain), width=max(1, round(width * self.scale)))

    def disc(self, x: float, y: float, radius: float, tone: Tone) -> None:
        """Draws a filled circle."""
        self.pen.ellipse(
            self._box(x - radius, x + radius, y - radius, y + radius), shade(tone, self.gain)
        )


def _choice(rng: np.random.Generator, tones: tuple[Tone, ...]) -> Tone:
    red, green, blue = tones[int(rng.integers(len(tones)))]
    lift = float(rng.normal(0, 10))
    return red + lift, green + lift, blue + lift


def _mix(tone: Tone, gain: float, lift: float = 0.0) -> Tone:
    red, green, blue = (c * gain + lift for c in tone)
    return red, green, blue


def _clutter(rng: np.random.Generator, deck: Deck, x0: float, x1: float, count: int) -> None:
    """Winches, vents, patches of rust and paint."""
    for _ in range(count):
        x = float(rng.uniform(x0, x1))
        y = float(rng.uniform(-0.4, 0.4)) * deck.beam
        size = float(rng.uniform(0.4, 1.6)) * (0.6 + deck.beam / 40)
        tone = _mix(deck.tone, float(rng.uniform(0.45, 1.7)) / deck.gain, 0)
        deck.block(x, x + size * float(rng.uniform(0.6, 2.5)), y, y + size, tone)


def _house(rng: np.random.Generator, deck: Deck, x0: float, x1: float, width: float) -> None:
    """Accommodation block with bridge wings and a funnel."""
    tone = _choice(rng, _HOUSE)
    half = deck.beam * width / 2
    tall = 0.05 * deck.length * float(rng.uniform(0.6, 1.4))
    deck.block(x0, x1, -half, half, _mix(tone, 0.8), tall=tall)
    inset = (x1 - x0) * 0.18
    deck.block(x0 + inset, x1 - inset * 0.4, -half * 0.8, half * 0.8, tone)
    wing = x1 - inset
    deck.block(wing - (x1 - x0) * 0.16, wing, -deck.beam * 0.49, deck.beam * 0.49, tone)
    side = float(rng.uniform(-0.15, 0.15)) * deck.beam
    funnel = _choice(rng, _BOXES)
    size = max(0.9, deck.beam * 0.1)
    deck.block(x0 - size * 0.5, x0 + size * 1.4, side - size, side + size, funnel, tall=tall * 0.5)
    deck.block(x0, x0 + size, side - size * 0.5, side + size * 0.5, (30, 30, 32))


def _tanker(rng: np.random.Generator, deck: Deck) -> None:
    length, beam = deck.length, deck.beam
    deck.block(
        0.03 * length, 0.9 * length, -0.42 * beam, 0.42 * beam, _mix(deck.tone, 1 / deck.gain)
    )
    _clutter(rng, deck, 0.2 * length, 0.88 * length, int(length / 4))
    pale = _mix(deck.tone, 1.25 / deck.gain, 14)
    dark = _mix(deck.tone, 0.6 / deck.gain)
    for at in (-0.045, 0.0, 0.045):  # cargo lines along the centre
        if rng.random() < 0.8:
            deck.line(0.22 * length, 0.9 * length, at * beam, at * beam, pale, 0.03 * beam)
    for frame in range(int(rng.integers(4, 9))):  # tank bulkheads
        x = (0.26 + 0.07 * frame) * length
        if x < 0.88 * length and rng.random() < 0.7:
            deck.line(x, x, -0.42 * beam, 0.42 * beam, dark, 0.45)
    x = float(rng.uniform(0.48, 0.58)) * length  # manifold amidships
    for step in range(int(rng.integers(2, 5))):
        at = x + step * 0.014 * length
        deck.line(at, at, -0.45 * beam, 0.45 * beam, pale if step % 2 else dark, 0.02 * beam + 0.2)
    deck.line(x, x + 0.05 * length, 0.1 * beam, 0.3 * beam, dark, 0.5)
    if rng.random() < 0.3:
        deck.disc(float(rng.uniform(0.6, 0.8)) * length, 0, 0.16 * beam, pale)
    _house(rng, deck, 0.08 * length, 0.17 * length, float(rng.uniform(0.6, 0.85)))
    deck.block(0.91 * length, 0.94 * length, -0.15 * beam, 0.15 * beam, pale)


def _bulker(rng: np.random.Generator, deck: Deck) -> None:
    length, beam = deck.length, deck.beam
    holds = int(rng.integers(4, 10))
    start, end = 0.2, 0.9
    step = (end - start) / holds
    base = deck.tone
    style = rng.random()
    if style < 0.35:
        cover = _mix(base, float(rng.uniform(1.1, 1.5)) / deck.gain, 8)
    elif style < 0.6:
        cover = _mix(base, float(rng.uniform(0.45, 0.8)) / deck.gain)
    else:
        cover = _choice(rng, (*_HOUSE, (150, 150, 144), (176, 160, 130)))
    half = float(rng.uniform(0.26, 0.4)) * beam
    _clutter(rng, deck, 0.2 * length, 0.95 * length, int(length / 5))
    for hold in range(holds):
        x0 = (start + hold * step) * length + step * length * 0.12
        x1 = (start + (hold + 1) * step) * length - step * length * 0.14
        open_hold = rng.random() < 0.08
        tone = (34.0, 32.0, 32.0) if open_hold else _mix(cover, float(rng.normal(1, 0.06)))
        deck.block(x0, x1, -half, half, tone, tall=0.0 if open_hold else 0.012 * length)
        if not open_hold:
            deck.line((x0 + x1) / 2, (x0 + x1) / 2, -half, half, _mix(tone, 0.7), 0.4)
    if rng.random() < 0.55:  # cranes between the hatches
        for hold in range(1, holds, int(rng.integers(1, 3))):
            x = (start + hold * step) * length
            size = max(0.8, 0.07 * beam)
            pale = _choice(rng, _HOUSE)
            deck.block(x - size, x + size, -size, size, pale, tall=0.03 * length)
            reach = step * length * 0.8
            deck.line(x, x + reach, 0, float(rng.uniform(-0.15, 0.15)) * beam, pale, 0.05 * beam)
    _house(rng, deck, 0.06 * length, 0.15 * length, float(rng.uniform(0.6, 0.85)))


def _container(rng: np.random.Generator, deck: Deck) -> None:
    length, beam = deck.length, deck.beam
    bridge = float(rng.choice([0.08, 0.12, 0.26, 0.62]))
    palette = [_choice(rng, _BOXES) for _ in range(int(rng.integers(3, 8)))]
    load = float(rng.uniform(0.35, 1.0))
    bay = max(2.4, length * float(rng.uniform(0.036, 0.05)))
    rows = max(2, int(beam / max(1.6, beam / 12)))
    x = 0.04 * length
    while x < 0.9 * length:
        if bridge * length - 0.01 * length < x + bay and x < (bridge + 0.07) * length:
            x = (bridge + 0.075) * length
            continue
        # Fewer rows abreast towards the bow.
        room = 0.46 * beam * min(1.0, 0.35 + (0.97 - x / length) * 3.6)
        deck.block(x, x + bay * 0.94, -room, room, _mix(deck.tone, 0.5 / deck.gain))
        if rng.random() < load:
            pitch = 2 * room / rows
            tone = palette[int(rng.integers(len(palette)))]
            for row in range(rows):
                if rng.random() < 0.55:
                    tone = palette[int(rng.integers(len(palette)))]
                if rng.random() < 0.06:
                    continue
                y = -room + row * pitch
                lift = float(rng.normal(1, 0.08))
                deck.block(x, x + bay * 0.92, y, y + pitch * 0.94, _mix(tone, lift))
        x += bay * float(rng.choice([1.0, 1.0, 1.12]))
    _house(rng, deck, bridge * length, (bridge + 0.06) * length, 0.92)


def _coaster(rng: np.random.Generator, deck: Deck) -> None:
    length, beam = deck.length, deck.beam
    half = float(rng.uniform(0.28, 0.4)) * beam
    tone = (
        _choice(rng, _HOUSE)
        if rng.random() < 0.4
        else _mix(deck.tone, float(rng.uniform(0.5, 1.4)) / deck.gain)
    )
    holds = int(rng.integers(1, 4))
    step = 0.62 / holds
    for hold in range(holds):
        x0 = (0.24 + hold * step) * length
        deck.block(x0, x0 + step * 0.9 * length, -half, half, tone, tall=0.012 * length)
    _clutter(rng, deck, 0.2 * length, 0.9 * length, int(length / 6))
    _house(rng, deck, 0.05 * length, 0.19 * length, 0.8)


def _ferry(rng: np.random.Generator, deck: Deck) -> None:
    length, beam = deck.length, deck.beam
    white = _choice(rng, _HOUSE)
    end = float(rng.uniform(0.8, 0.92))
    deck.block(0.06 * length, end * length, -0.42 * beam, 0.42 * beam, white, tall=0.02 * length)
    tones = (_mix(white, 0.8), _mix(white, 0.6), (70.0, 96.0, 92.0), (60.0, 66.0, 74.0))
    x = 0.1 * length
    while x < (end - 0.06) * length:
        size = float(rng.uniform(0.03, 0.16)) * length
        half = float(rng.uniform(0.1, 0.36)) * beam
        tone = tones[int(rng.integers(4))]
        deck.block(x, min(x + size, end * length), -half, half, tone, tall=0.01 * length)
        x += size * float(rng.uniform(1.0, 1.6))
    deck.block(0.2 * length, 0.25 * length, -0.12 * beam, 0.12 * beam, _choice(rng, _BOXES))
    for side in (-0.44, 0.44):  # lifeboats
        for boat in range(int(rng.integers(0, 6))):
            x = (0.3 + 0.08 * boat) * length
            deck.block(x, x + 0.04 * length, side * beam - 0.4, side * beam + 0.4, (214, 110, 50))


def _barge(rng: np.random.Generator, deck: Deck) -> None:
    length, beam = deck.length, deck.beam
    style = rng.random()
    if style < 0.5:  # open hold with cargo
        deck.block(0.07 * length, 0.93 * length, -0.36 * beam, 0.36 * beam,
                   _mix(deck.tone, 0.5 / deck.gain))  # fmt: skip
        cargo = _choice(rng, ((64, 60, 56), (150, 132, 102), (96, 76, 60), (40, 40, 42)))
        heaps = int(rng.integers(1, 5))
        for heap in range(heaps):
            x0 = (0.1 + 0.8 * heap / heaps) * length
            deck.block(x0, x0 + 0.74 / heaps * length, -0.3 * beam, 0.3 * beam, cargo)
    else:
        _clutter(rng, deck, 0.08 * length, 0.9 * length, int(rng.integers(2, 14)))
    if rng.random() < 0.5:
        deck.block(0.04 * length, 0.16 * length, -0.3 * beam, 0.3 * beam, _choice(rng, _HOUSE),
                   tall=0.04 * length)  # fmt: skip


def _fishing(rng: np.random.Generator, deck: Deck) -> None:
    length, beam = deck.length, deck.beam
    work = _choice(rng, ((128, 112, 92), (96, 100, 96), (150, 140, 120), (70, 80, 92)))
    deck.block(0.06 * length, 0.7 * length, -0.36 * beam, 0.36 * beam, work)
    at = float(rng.choice([0.12, 0.42, 0.55]))
    deck.block(at * length, (at + 0.22) * length, -0.3 * beam, 0.3 * beam, _choice(rng, _HOUSE),
               tall=0.06 * length)  # fmt: skip
    _clutter(rng, deck, 0.08 * length, 0.8 * length, int(rng.integers(2, 7)))


def _motor(rng: np.random.Generator, deck: Deck) -> None:
    length, beam = deck.length, deck.beam
    well = _choice(rng, ((120, 100, 80), (150, 150, 146), (80, 90, 100)))
    deck.block(0.06 * length, 0.36 * length, -0.34 * beam, 0.34 * beam, well)
    cabin = _choice(rng, ((232, 232, 228), (70, 84, 100), (200, 204, 204)))
    deck.block(0.36 * length, 0.66 * length, -0.3 * beam, 0.3 * beam, cabin, tall=0.04 * length)


DRESSERS: dict[str, Callable[[np.random.Generator, Deck], None]] = {
    "tanker": _tanker,
    "bulker": _bulker,
    "container": _container,
    "coaster": _coaster,
    "ferry": _ferry,
    "barge": _barge,
    "fishing": _fishing,
    "motor": _motor,
}

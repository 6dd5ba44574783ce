"""A deck to draw on, in the boat's own measures."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

__all__ = ["Deck", "Tone", "shade"]

Tone = tuple[float, float, float]


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

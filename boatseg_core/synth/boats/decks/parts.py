"""What many decks share: their colours, clutter, and the house with bridge and funnel."""

from __future__ import annotations

import numpy as np

from boatseg_core.synth.boats.decks.deck import Deck, Tone

__all__ = ["BOXES", "HOUSES", "choice", "clutter", "house", "mix"]

BOXES: tuple[Tone, ...] = (
    (150, 62, 48), (176, 84, 56), (60, 84, 128), (70, 110, 140), (206, 200, 188), (222, 206, 168),
    (104, 112, 110), (84, 120, 92), (196, 158, 84), (92, 58, 52), (216, 196, 160), (120, 74, 62),
)  # fmt: skip
HOUSES: tuple[Tone, ...] = ((226, 226, 220), (208, 204, 190), (214, 196, 150), (186, 188, 186))


def choice(rng: np.random.Generator, tones: tuple[Tone, ...]) -> Tone:
    """Picks one of the tones, a little lighter or darker."""
    red, green, blue = tones[int(rng.integers(len(tones)))]
    lift = float(rng.normal(0, 10))
    return red + lift, green + lift, blue + lift


def mix(tone: Tone, gain: float, lift: float = 0.0) -> Tone:
    """Scales a tone, then lifts it; not clipped."""
    red, green, blue = (c * gain + lift for c in tone)
    return red, green, blue


def clutter(rng: np.random.Generator, deck: Deck, x0: float, x1: float, count: int) -> None:
    """Winches, vents, patches of rust and paint."""
    for _ in range(count):
        x = float(rng.uniform(x0, x1))
        y = float(rng.uniform(-0.4, 0.4)) * deck.beam
        size = float(rng.uniform(0.4, 1.6)) * (0.6 + deck.beam / 40)
        tone = mix(deck.tone, float(rng.uniform(0.45, 1.7)) / deck.gain, 0)
        deck.block(x, x + size * float(rng.uniform(0.6, 2.5)), y, y + size, tone)


def house(rng: np.random.Generator, deck: Deck, x0: float, x1: float, width: float) -> None:
    """Accommodation block with bridge wings and a funnel."""
    tone = choice(rng, HOUSES)
    half = deck.beam * width / 2
    tall = 0.05 * deck.length * float(rng.uniform(0.6, 1.4))
    deck.block(x0, x1, -half, half, mix(tone, 0.8), tall=tall)
    inset = (x1 - x0) * 0.18
    deck.block(x0 + inset, x1 - inset * 0.4, -half * 0.8, half * 0.8, tone)
    wing = x1 - inset
    deck.block(wing - (x1 - x0) * 0.16, wing, -deck.beam * 0.49, deck.beam * 0.49, tone)
    side = float(rng.uniform(-0.15, 0.15)) * deck.beam
    funnel = choice(rng, BOXES)
    size = max(0.9, deck.beam * 0.1)
    deck.block(x0 - size * 0.5, x0 + size * 1.4, side - size, side + size, funnel, tall=tall * 0.5)
    deck.block(x0, x0 + size, side - size * 0.5, side + size * 0.5, (30, 30, 32))

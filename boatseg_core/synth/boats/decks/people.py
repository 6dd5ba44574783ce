"""Decks of what carries people: ferries, fishing boats, motor boats."""

from __future__ import annotations

import numpy as np

from boatseg_core.synth.boats.decks.deck import Deck
from boatseg_core.synth.boats.decks.parts import BOXES, HOUSES, choice, clutter, mix

__all__ = ["ferry", "fishing", "motor"]


def ferry(rng: np.random.Generator, deck: Deck) -> None:
    """White superstructure in steps, and lifeboats along both sides."""
    length, beam = deck.length, deck.beam
    white = choice(rng, HOUSES)
    end = float(rng.uniform(0.8, 0.92))
    deck.block(0.06 * length, end * length, -0.42 * beam, 0.42 * beam, white, tall=0.02 * length)
    tones = (mix(white, 0.8), mix(white, 0.6), (70.0, 96.0, 92.0), (60.0, 66.0, 74.0))
    x = 0.1 * length
    while x < (end - 0.06) * length:
        size = float(rng.uniform(0.03, 0.16)) * length
        half = float(rng.uniform(0.1, 0.36)) * beam
        tone = tones[int(rng.integers(4))]
        deck.block(x, min(x + size, end * length), -half, half, tone, tall=0.01 * length)
        x += size * float(rng.uniform(1.0, 1.6))
    deck.block(0.2 * length, 0.25 * length, -0.12 * beam, 0.12 * beam, choice(rng, BOXES))
    for side in (-0.44, 0.44):  # lifeboats
        for boat in range(int(rng.integers(0, 6))):
            x = (0.3 + 0.08 * boat) * length
            deck.block(x, x + 0.04 * length, side * beam - 0.4, side * beam + 0.4, (214, 110, 50))


def fishing(rng: np.random.Generator, deck: Deck) -> None:
    """A working deck, and a wheelhouse aft, amidships or forward."""
    length, beam = deck.length, deck.beam
    work = choice(rng, ((128, 112, 92), (96, 100, 96), (150, 140, 120), (70, 80, 92)))
    deck.block(0.06 * length, 0.7 * length, -0.36 * beam, 0.36 * beam, work)
    at = float(rng.choice([0.12, 0.42, 0.55]))
    deck.block(at * length, (at + 0.22) * length, -0.3 * beam, 0.3 * beam, choice(rng, HOUSES),
               tall=0.06 * length)  # fmt: skip
    clutter(rng, deck, 0.08 * length, 0.8 * length, int(rng.integers(2, 7)))


def motor(rng: np.random.Generator, deck: Deck) -> None:
    """An open well aft and a cabin."""
    length, beam = deck.length, deck.beam
    well = choice(rng, ((120, 100, 80), (150, 150, 146), (80, 90, 100)))
    deck.block(0.06 * length, 0.36 * length, -0.34 * beam, 0.34 * beam, well)
    cabin = choice(rng, ((232, 232, 228), (70, 84, 100), (200, 204, 204)))
    deck.block(0.36 * length, 0.66 * length, -0.3 * beam, 0.3 * beam, cabin, tall=0.04 * length)

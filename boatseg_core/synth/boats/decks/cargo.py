"""Decks of what carries cargo: tanks, hatches, containers, open holds."""

from __future__ import annotations

import numpy as np

from boatseg_core.synth.boats.decks.deck import Deck
from boatseg_core.synth.boats.decks.parts import BOXES, HOUSES, choice, clutter, house, mix

__all__ = ["barge", "bulker", "coaster", "container", "tanker"]


def tanker(rng: np.random.Generator, deck: Deck) -> None:
    """Tank bulkheads, cargo lines along the centre and the manifold amidships."""
    length, beam = deck.length, deck.beam
    deck.block(
        0.03 * length, 0.9 * length, -0.42 * beam, 0.42 * beam, mix(deck.tone, 1 / deck.gain)
    )
    clutter(rng, deck, 0.2 * length, 0.88 * length, int(length / 4))
    pale = mix(deck.tone, 1.25 / deck.gain, 14)
    dark = mix(deck.tone, 0.6 / deck.gain)
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
    house(rng, deck, 0.08 * length, 0.17 * length, float(rng.uniform(0.6, 0.85)))
    deck.block(0.91 * length, 0.94 * length, -0.15 * beam, 0.15 * beam, pale)


def bulker(rng: np.random.Generator, deck: Deck) -> None:
    """A row of hatches, some open, with or without cranes between them."""
    length, beam = deck.length, deck.beam
    holds = int(rng.integers(4, 10))
    start, end = 0.2, 0.9
    step = (end - start) / holds
    base = deck.tone
    style = rng.random()
    if style < 0.35:
        cover = mix(base, float(rng.uniform(1.1, 1.5)) / deck.gain, 8)
    elif style < 0.6:
        cover = mix(base, float(rng.uniform(0.45, 0.8)) / deck.gain)
    else:
        cover = choice(rng, (*HOUSES, (150, 150, 144), (176, 160, 130)))
    half = float(rng.uniform(0.26, 0.4)) * beam
    clutter(rng, deck, 0.2 * length, 0.95 * length, int(length / 5))
    for hold in range(holds):
        x0 = (start + hold * step) * length + step * length * 0.12
        x1 = (start + (hold + 1) * step) * length - step * length * 0.14
        open_hold = rng.random() < 0.08
        tone = (34.0, 32.0, 32.0) if open_hold else mix(cover, float(rng.normal(1, 0.06)))
        deck.block(x0, x1, -half, half, tone, tall=0.0 if open_hold else 0.012 * length)
        if not open_hold:
            deck.line((x0 + x1) / 2, (x0 + x1) / 2, -half, half, mix(tone, 0.7), 0.4)
    if rng.random() < 0.55:  # cranes between the hatches
        for hold in range(1, holds, int(rng.integers(1, 3))):
            x = (start + hold * step) * length
            size = max(0.8, 0.07 * beam)
            pale = choice(rng, HOUSES)
            deck.block(x - size, x + size, -size, size, pale, tall=0.03 * length)
            reach = step * length * 0.8
            deck.line(x, x + reach, 0, float(rng.uniform(-0.15, 0.15)) * beam, pale, 0.05 * beam)
    house(rng, deck, 0.06 * length, 0.15 * length, float(rng.uniform(0.6, 0.85)))


def container(rng: np.random.Generator, deck: Deck) -> None:
    """Bays of containers in a few colours, more or less full; fewer abreast at the bow."""
    length, beam = deck.length, deck.beam
    bridge = float(rng.choice([0.08, 0.12, 0.26, 0.62]))
    palette = [choice(rng, BOXES) for _ in range(int(rng.integers(3, 8)))]
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
        deck.block(x, x + bay * 0.94, -room, room, mix(deck.tone, 0.5 / deck.gain))
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
                deck.block(x, x + bay * 0.92, y, y + pitch * 0.94, mix(tone, lift))
        x += bay * float(rng.choice([1.0, 1.0, 1.12]))
    house(rng, deck, bridge * length, (bridge + 0.06) * length, 0.92)


def coaster(rng: np.random.Generator, deck: Deck) -> None:
    """One to three hatches before a house at the stern."""
    length, beam = deck.length, deck.beam
    half = float(rng.uniform(0.28, 0.4)) * beam
    tone = (
        choice(rng, HOUSES)
        if rng.random() < 0.4
        else mix(deck.tone, float(rng.uniform(0.5, 1.4)) / deck.gain)
    )
    holds = int(rng.integers(1, 4))
    step = 0.62 / holds
    for hold in range(holds):
        x0 = (0.24 + hold * step) * length
        deck.block(x0, x0 + step * 0.9 * length, -half, half, tone, tall=0.012 * length)
    clutter(rng, deck, 0.2 * length, 0.9 * length, int(length / 6))
    house(rng, deck, 0.05 * length, 0.19 * length, 0.8)


def barge(rng: np.random.Generator, deck: Deck) -> None:
    """An open hold with heaps of cargo, or a bare deck with clutter."""
    length, beam = deck.length, deck.beam
    style = rng.random()
    if style < 0.5:  # open hold with cargo
        deck.block(0.07 * length, 0.93 * length, -0.36 * beam, 0.36 * beam,
                   mix(deck.tone, 0.5 / deck.gain))  # fmt: skip
        cargo = choice(rng, ((64, 60, 56), (150, 132, 102), (96, 76, 60), (40, 40, 42)))
        heaps = int(rng.integers(1, 5))
        for heap in range(heaps):
            x0 = (0.1 + 0.8 * heap / heaps) * length
            deck.block(x0, x0 + 0.74 / heaps * length, -0.3 * beam, 0.3 * beam, cargo)
    else:
        clutter(rng, deck, 0.08 * length, 0.9 * length, int(rng.integers(2, 14)))
    if rng.random() < 0.5:
        deck.block(0.04 * length, 0.16 * length, -0.3 * beam, 0.3 * beam, choice(rng, HOUSES),
                   tall=0.04 * length)  # fmt: skip

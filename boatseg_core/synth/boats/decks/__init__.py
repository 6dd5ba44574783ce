"""What stands on deck, by kind of vessel: hatches, containers, houses, wheelhouses, clutter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from boatseg_core.synth.boats.decks.cargo import barge, bulker, coaster, container, tanker
from boatseg_core.synth.boats.decks.deck import Deck, Tone, shade
from boatseg_core.synth.boats.decks.people import ferry, fishing, motor

__all__ = ["DRESSERS", "Deck", "Tone", "shade"]

DRESSERS: dict[str, Callable[[np.random.Generator, Deck], None]] = {
    "tanker": tanker,
    "bulker": bulker,
    "container": container,
    "coaster": coaster,
    "ferry": ferry,
    "barge": barge,
    "fishing": fishing,
    "motor": motor,
}

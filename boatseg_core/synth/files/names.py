"""What pictures are called, and which generator drew them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import PIL

__all__ = ["SLOTS", "generator_digest", "image_name"]

SLOTS = 16
"""Numbers set aside for the windows of a scene; more than the largest has."""
_SEED_BITS, _SLOT_BITS = 14, 22
_BITS = _SEED_BITS + _SLOT_BITS
_GENERATOR = Path(__file__).parents[1]


def image_name(seed: int, slot: int, prefix: str = "") -> str:
    """Names a picture with nine hexadecimal digits, as the real ones are.

    The digits are a one-to-one mixing of seed and slot, so names never clash between seeds below
    16,384; beyond that, or beyond four million slots, more digits keep them apart.

    Args:
        seed: Seed of the data set.
        slot: Number of the picture within it.
        prefix: Put before the digits.

    Returns:
        A file name ending in ``.jpg``.
    """
    if seed < 2**_SEED_BITS and slot < 2**_SLOT_BITS:
        value = _mix(seed << _SLOT_BITS | slot, _BITS)
        return f"{prefix}{value:09x}.jpg"
    value = _mix(seed << 40 | slot, 104)
    return f"{prefix}{value:026x}.jpg"


def _mix(value: int, bits: int) -> int:
    """Permutes the integers of ``bits`` bits (odd multipliers and xor-shifts are one-to-one)."""
    limit = (1 << bits) - 1
    for odd in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        value = value * odd & limit
        value ^= value >> (bits // 2)
    return value


def generator_digest() -> str:
    """Name the generator: another digest, perhaps other pictures for the same seed.

    Returns:
        SHA-256 over the source of this package and the versions of what draws, in hexadecimal.
    """
    digest = hashlib.sha256(f"{np.__version__} {PIL.__version__}".encode())
    for path in sorted(_GENERATOR.rglob("*.py")):
        name = path.relative_to(_GENERATOR).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()

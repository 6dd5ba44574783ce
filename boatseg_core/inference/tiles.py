"""Pictures too large for one forward pass are cut into overlapping tiles.

A forward pass needs some 600 bytes of memory for each pixel; cutting bounds it, whatever arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# A tile is looked at with this much of its surroundings, in pixels, of which nothing is kept.
MARGIN = 128
# Longest side of a picture, or of a tile with its margin, that is run in one piece, in pixels.
SIDE = 1536


@dataclass(frozen=True)
class Tile:
    """One tile: the part looked at, and the part of it that is kept.

    Attributes:
        look: Rows and columns of the picture to run.
        keep: Rows and columns of the picture that the result is for.
        within: The kept rows and columns, counted inside the part looked at.
    """

    look: tuple[slice, slice]
    keep: tuple[slice, slice]
    within: tuple[slice, slice]


def needed(height: int, width: int) -> bool:
    """Say whether a picture of this size, in pixels, has to be cut."""
    return max(height, width) > SIDE


def cut(height: int, width: int) -> Iterator[Tile]:
    """Cut a picture into tiles whose kept parts cover it once."""
    for rows in _spans(height):
        for columns in _spans(width):
            look, keep, within = zip(rows, columns, strict=True)
            yield Tile(look, keep, within)


def _spans(length: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut one axis; the pieces are as equal as possible, so that few sizes come up."""
    if length <= SIDE:
        whole = slice(0, length)
        yield whole, whole, whole
        return
    pieces = -(-length // (SIDE - 2 * MARGIN))
    for piece in range(pieces):
        start, stop = length * piece // pieces, length * (piece + 1) // pieces
        low, high = max(0, start - MARGIN), min(length, stop + MARGIN)
        yield slice(low, high), slice(start, stop), slice(start - low, stop - low)

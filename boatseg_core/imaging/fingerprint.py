"""Fingerprints of tiles, to find images that show the same place.

Images cut from overlapping mosaics at a stride of 256 pixels share whole tiles. A tile's
fingerprint is a BRIEF descriptor (Calonder et al., "BRIEF: binary robust independent elementary
features", ECCV 2010) of its high-passed, 8-pixel averages: each bit compares two cells. Two JPEGs
of the same tile differ in few bits; two different tiles in about half of them.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from boatseg_core.imaging import native

TILE: Final = 256
"""Side of a tile, in pixels."""

BITS: Final = 256
BYTES: Final = BITS // 8

CELL: Final = 8
"""Side of a cell in pixels: JPEG's block, so that recompression moves a cell's mean least."""

_SIDE: Final = TILE // CELL
# Grey levels (0-255): below this the 8-pixel means hold compression noise and little else.
_MIN_TEXTURE: Final = 0.6
# As a sum of squares over a tile, of 16 times each difference.
_LEAST_ENERGY: Final = math.ceil((16 * _MIN_TEXTURE) ** 2 * _SIDE * _SIDE)

Fingerprints = npt.NDArray[np.uint8]


def tile_fingerprints(grey: Image.Image) -> Fingerprints:
    """Fingerprint every full 256-pixel tile of an image.

    Args:
        grey: Image of mode ``L``.

    Returns:
        uint8 ``[T, 32]``, tiles row by row; all zero for a tile without texture, which says
        nothing about the place. Empty for an image smaller than one tile.
    """
    rows, columns = grey.height // TILE, grey.width // TILE
    if not rows or not columns:
        return np.zeros((0, BYTES), dtype=np.uint8)
    return cell_fingerprints(
        np.asarray(grey.crop((0, 0, columns * TILE, rows * TILE)).reduce(CELL))
    )


def cell_fingerprints(cells: npt.NDArray[np.uint8]) -> Fingerprints:
    """Fingerprint every full tile of an image whose 8-pixel averages are known.

    Args:
        cells: uint8 ``[H // 8, W // 8]``, mean luminance of the image's 8-pixel cells.

    Returns:
        As :func:`tile_fingerprints`.
    """
    if native.pixels is None:
        return plain_fingerprints(cells)
    rows, columns = cells.shape
    prints = np.empty((rows // _SIDE * (columns // _SIDE), BYTES), dtype=np.uint8)
    native.pixels.fingerprints(
        np.ascontiguousarray(cells), rows, columns, _pairs().reshape(-1), _LEAST_ENERGY, prints
    )
    return prints


def plain_fingerprints(cells: npt.NDArray[np.uint8]) -> Fingerprints:
    """Compute the same as :func:`cell_fingerprints` in NumPy: the definition, and the stand-in."""
    rows, columns = cells.shape[0] // _SIDE, cells.shape[1] // _SIDE
    if not rows or not columns:
        return np.zeros((0, BYTES), dtype=np.uint8)
    wide = cells[: rows * _SIDE, : columns * _SIDE].astype(np.int16)
    tiles = wide.reshape(rows, _SIDE, columns, _SIDE).swapaxes(1, 2).reshape(-1, _SIDE, _SIDE)
    # Slow gradients (sun, haze) are alike in unrelated images: keep what is finer than 4 cells.
    # Sixteen times every difference, so that it is a whole number.
    part = _SIDE // 4
    sums = tiles.reshape(-1, part, 4, _SIDE).sum(axis=2, dtype=np.int16)
    sums = sums.reshape(-1, part, part, 4).sum(axis=3, dtype=np.int16)
    parts = tiles.reshape(-1, part, 4, part, 4)
    detail = (16 * parts - sums[:, :, None, :, None]).reshape(len(tiles), -1)
    first, second = _pairs()
    prints = np.packbits(detail.take(first, axis=1) > detail.take(second, axis=1), axis=1)
    # The mean of a tile's detail is zero: its squares are its variance.
    energy = np.square(detail, dtype=np.int64).sum(axis=1)
    prints[energy < _LEAST_ENERGY] = 0
    return prints


@cache
def _pairs() -> npt.NDArray[np.uint16]:
    # Written to the lake for ever: neither the seed nor the generator may change. No cell is used
    # twice, so that the bits are as independent as the cells are.
    cells = np.random.Generator(np.random.PCG64(20181117)).permutation(_SIDE * _SIDE)
    return cells[: 2 * BITS].astype(np.uint16).reshape(2, BITS)

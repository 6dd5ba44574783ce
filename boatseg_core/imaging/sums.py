"""Sums over a picture's pixels: what brightness, sharpness and their like are made of.

Integers throughout, so that every machine stores the same bits. :func:`plain_sums` defines them in
NumPy; ``csrc/picture.c`` computes the same in one pass, some twenty times faster, and is used
wherever the package was installed with a C compiler at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from boatseg_core.imaging import native
from boatseg_core.imaging.fingerprint import CELL

SATURATION_SCALE: Final = 4095

TILE: Final = 32
"""Side of the tiles that count as blank, in pixels."""

BLACK: Final = 2
"""Highest luminance that counts as black: the slack JPEG needs around it."""

WHITE: Final = 253
"""Lowest luminance that counts as white."""

_BLOCK = 4  # px, side of the averages that saturation is taken of
_BAND = 512  # rows worked on at a time; a multiple of all the sides above

Grey = npt.NDArray[np.uint8]
Channel = npt.NDArray[np.uint8] | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over one picture.

    Attributes:
        pixels: Number of pixels.
        total: Sum of the luminance.
        square: Sum of its squares.
        inner: Pixels that have four neighbours.
        laplacian: Sum of the 4-neighbour Laplacian over them.
        laplacian_square: Sum of its squares.
        saturation: Sum of the HSV saturations of all 4-pixel block averages, each rounded to
            whole 1/4095.
        blocks: Number of blocks; those at the right and lower edge may be smaller.
        black: Number of 32-pixel tiles without a pixel above 2.
        white: Number of tiles without a pixel below 253.
        tiles: Number of tiles; those at the right and lower edge may be smaller.
        cells: uint8 ``[H // 8, W // 8]``, mean luminance of every whole 8-pixel cell.
        histogram: uint32 ``[3, 256]``, pixels by their value of red, green and blue.
    """

    pixels: int
    total: int
    square: int
    inner: int
    laplacian: int
    laplacian_square: int
    saturation: int
    blocks: int
    black: int
    white: int
    tiles: int
    cells: Grey
    histogram: npt.NDArray[np.uint32]


def sums(rgb: Image.Image) -> Sums:
    """Compute all sums of a decoded picture.

    Args:
        rgb: Image of mode ``RGB``.
    """
    if native.pixels is None:
        return plain_sums(rgb)
    width, height = rgb.size
    cells = np.empty((height // CELL, width // CELL), dtype=np.uint8)
    pixels = _pixels_of(rgb)
    each = pixels.size // (width * height)
    histogram = np.empty((3, 256), dtype=np.uint32)
    found = native.pixels.measure(pixels, width, height, each, cells, histogram)
    return _with_counts(width, height, found, cells, histogram)


def jpeg_sums(data: bytes, width: int, height: int) -> Sums | None:
    """Compute the same while a JPEG is decoded, strip by strip: the picture never is in memory.

    Args:
        data: The bytes of a file that :func:`.jpeg.is_plain` is true of.
        width: Width of the picture in pixels, as its header has it.
        height: Its height in pixels.

    Returns:
        ``None`` if the file has to be left to Pillow.
    """
    if native.pixels is None:
        return None
    cells = np.empty((height // CELL, width // CELL), dtype=np.uint8)
    histogram = np.empty((3, 256), dtype=np.uint32)
    found = native.pixels.measure_jpeg(data, width, height, cells, histogram)
    return None if found is None else _with_counts(width, height, found, cells, histogram)


def plain_sums(rgb: Image.Image) -> Sums:
    """Compute the same as :func:`sums` in NumPy: the definition, and the stand-in."""
    width, height = rgb.size
    total = square = laplacian = laplacian_square = saturation = black = white = 0
    cells = np.empty((height // CELL, width // CELL), dtype=np.uint8)
    for y in range(0, height, _BAND):
        # The row above and the row below are neighbours of the band's own rows.
        top, end = max(y - 1, 0), min(y + _BAND, height)
        grey = np.asarray(rgb.crop((0, top, width, min(end + 1, height))).convert("L"))
        own = grey[y - top : y - top + end - y]
        levels = np.bincount(own.reshape(-1), minlength=256)
        total += int(levels @ np.arange(256))
        square += int(levels @ np.arange(256) ** 2)
        edges = _laplacian(grey)
        laplacian += int(edges.sum(dtype=np.int64))
        laplacian_square += int(np.square(edges, dtype=np.int64).sum())
        dark, bright = _blank_tiles(own)
        black, white = black + dark, white + bright
        means = _means(own, CELL)
        cells[y // CELL : y // CELL + len(own) // CELL] = means[: len(own) // CELL, : width // CELL]
        saturation += _saturation(np.asarray(rgb.crop((0, y, width, end))))
    found = (total, square, laplacian, laplacian_square, saturation, black, white)
    histogram = np.array(rgb.histogram(), dtype=np.uint32).reshape(3, 256)
    return _with_counts(width, height, found, cells, histogram)


def _with_counts(
    width: int,
    height: int,
    found: tuple[int, int, int, int, int, int, int],
    cells: Grey,
    histogram: npt.NDArray[np.uint32],
) -> Sums:
    total, square, laplacian, laplacian_square, saturation, black, white = found
    return Sums(
        pixels=width * height,
        total=total,
        square=square,
        inner=max(width - 2, 0) * max(height - 2, 0),
        laplacian=laplacian,
        laplacian_square=laplacian_square,
        saturation=saturation,
        blocks=-(-width // _BLOCK) * -(-height // _BLOCK),
        black=black,
        white=white,
        tiles=-(-width // TILE) * -(-height // TILE),
        cells=cells,
        histogram=histogram,
    )


def _pixels_of(rgb: Image.Image) -> npt.NDArray[np.uint8]:
    """The picture's bytes: Pillow's own memory, four bytes a pixel, if it is in one piece."""
    try:
        array = pa.array(rgb)
    except (ValueError, pa.ArrowException):  # more than 16 MB: in several pieces
        return np.asarray(rgb).reshape(-1)
    return array.values.to_numpy(zero_copy_only=True)  # type: ignore[no-any-return]


def _laplacian(grey: Grey) -> npt.NDArray[np.int32]:
    if min(grey.shape) < 3:
        return np.zeros(0, dtype=np.int32)
    v = grey.astype(np.int32)
    edges = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:] - 4 * v[1:-1, 1:-1]
    return edges.reshape(-1)


def _blank_tiles(grey: Grey) -> tuple[int, int]:
    rows = np.arange(0, grey.shape[0], TILE)
    columns = np.arange(0, grey.shape[1], TILE)
    high = np.maximum.reduceat(np.maximum.reduceat(grey, rows, axis=0), columns, axis=1)
    low = np.minimum.reduceat(np.minimum.reduceat(grey, rows, axis=0), columns, axis=1)
    return int((high <= BLACK).sum()), int((low >= WHITE).sum())


def _means(channel: Grey, side: int) -> npt.NDArray[np.int64]:
    """Rounded mean of every square, those cut off by an edge included."""
    rows = np.arange(0, channel.shape[0], side)
    columns = np.arange(0, channel.shape[1], side)
    wide = channel.astype(np.int64)
    totals = np.add.reduceat(np.add.reduceat(wide, rows, axis=0), columns, axis=1)
    heights = np.minimum(channel.shape[0] - rows, side)
    widths = np.minimum(channel.shape[1] - columns, side)
    counts = np.outer(heights, widths)
    means: npt.NDArray[np.int64] = (totals + counts // 2) // counts
    return means


def _saturation(rgb: npt.NDArray[np.uint8]) -> int:
    # Of box averages: saturation is a broad property, and the chroma of one dark pixel is noise.
    return saturation_sum(*(_means(rgb[..., c], _BLOCK) for c in range(3)))


def saturation_sum(red: Channel, green: Channel, blue: Channel) -> int:
    """Sum of the HSV saturations of colours, each in whole 1/4095, rounded."""
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    most = np.maximum(high, 1).astype(np.int32)
    spread = (high - low).astype(np.int32)
    return int(((spread * SATURATION_SCALE + most // 2) // most).sum(dtype=np.int64))

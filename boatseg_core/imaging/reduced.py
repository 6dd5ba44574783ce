"""Measure a JPEG at 1/8 of its size: for hosts where decoding is what ingestion waits for.

Scaled to 1/8, libjpeg takes only the mean of every 8-pixel block. It still has to read every
Huffman code of the stream to find the next block, so a file that ends early or is damaged is
refused just as it is by a full decode (tests hold the two together on thousands of damaged files);
the inverse transforms, colour conversion and three quarters of the memory traffic are saved. Where
a file is as nearly all are, :mod:`.walk` gives the same pixels in a third of the time.

What the figures then are, beside those of a full decode:

- width, height, mode, format, orientation, bits, sha256: the same;
- brightness, saturation: of the 8-pixel means; close, since means of means are means (saturation
  is taken of 4-pixel means otherwise);
- contrast: standard deviation of the 8-pixel means; lower, by what varies inside a block;
- black and white share: of 32-pixel tiles whose 8-pixel means are all black or white;
- histogram: of the 8-pixel means, so its counts add up to 1/64 of the pixels;
- sharpness: none. It lives between neighbouring pixels, and what is left of it at 1/8 is another
  quantity;
- tile fingerprints: from the same 8-pixel cells, which differ by rounding alone (a full decode
  clamps and rounds every pixel before averaging). Pictures of one place find each other whichever
  way each was read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from boatseg_core.imaging import native
from boatseg_core.imaging.figures import Figures, variance
from boatseg_core.imaging.fingerprint import CELL, cell_fingerprints
from boatseg_core.imaging.sums import BLACK, SATURATION_SCALE, TILE, WHITE, saturation_sum
from boatseg_core.imaging.walk import Planes

_SIDE = TILE // CELL  # cells along a tile that may be blank


@dataclass(frozen=True, slots=True)
class ReducedSums:
    """Sums over the cells of one picture at 1/8.

    Attributes:
        total: Sum of the luminance.
        square: Sum of its squares.
        saturation: Sum of the HSV saturations, each in whole 1/4095, rounded.
        black: Number of 32-pixel tiles without a cell above 2.
        white: Number of tiles without a cell below 253.
        cells: uint8 ``[rows, columns]``, luminance.
        histogram: uint32 ``[3, 256]``, cells by their value of red, green and blue.
    """

    total: int
    square: int
    saturation: int
    black: int
    white: int
    cells: npt.NDArray[np.uint8]
    histogram: npt.NDArray[np.uint32]


def reduce(image: Image.Image, orientation: int) -> bool:
    """Ask for an opened image to be decoded at 1/8 of its size.

    Args:
        image: As :func:`.decode.open_image` returned it; nothing of it may be decoded yet.
        orientation: Its EXIF orientation, 1 to 8.

    Returns:
        Whether it will be. Not where :func:`reducible` says no.
    """
    width, height = image.size
    return (
        reducible(image, orientation)
        and isinstance(image, JpegImageFile)
        and image.draft(None, (width // CELL, height // CELL)) is not None
    )


def reducible(image: Image.Image, orientation: int) -> bool:
    """Say whether a picture can be measured at 1/8 of its size.

    Not other formats than JPEG, pictures of less than 8 pixels a side, and those to be turned
    around an edge that cuts a cell: their cells would not lie where those of a full decode do.
    """
    width, height = image.size
    whole = width % CELL == 0 and height % CELL == 0
    return (
        isinstance(image, JpegImageFile)
        and min(width, height) >= CELL
        and (orientation == 1 or whole)
    )


def planes_of(rgb: Image.Image) -> Planes:
    """Take the channels of an ``RGB`` image apart: uint8 ``[3, H, W]``."""
    return np.ascontiguousarray(np.asarray(rgb).transpose(2, 0, 1))


def figures_of_reduced(planes: Planes, width: int, height: int) -> Figures:
    """Measure a picture that was read at 1/8 of its size.

    Args:
        planes: uint8 ``[3, ceil(height / 8), ceil(width / 8)]``, red, green and blue, upright.
        width: Width of the whole picture in pixels, upright.
        height: Its height in pixels.
    """
    s = reduced_sums(planes)
    count = s.cells.size
    tiles = -(-s.cells.shape[0] // _SIDE) * -(-s.cells.shape[1] // _SIDE)
    return Figures(
        brightness=s.total / count,
        contrast=variance(count, s.total, s.square) ** 0.5,
        sharpness=None,
        saturation=s.saturation / (SATURATION_SCALE * count),
        black_share=s.black / tiles,
        white_share=s.white / tiles,
        histogram=s.histogram.astype("<u4", copy=False).tobytes(),
        tiles=cell_fingerprints(s.cells[: height // CELL, : width // CELL]).tobytes(),
    )


def reduced_sums(planes: Planes) -> ReducedSums:
    """Compute the sums that the figures are made of.

    Args:
        planes: uint8 ``[3, rows, columns]``, contiguous.
    """
    if native.pixels is None:
        return plain_reduced_sums(planes)
    _, rows, columns = planes.shape
    cells = np.empty((rows, columns), dtype=np.uint8)
    histogram = np.empty((3, 256), dtype=np.uint32)
    found: tuple[int, int, int, int, int] = native.pixels.reduced(
        planes, rows, columns, cells, histogram
    )
    total, square, saturation, black, white = found
    return ReducedSums(total, square, saturation, black, white, cells, histogram)


def plain_reduced_sums(planes: Planes) -> ReducedSums:
    """Compute the same as :func:`reduced_sums` in NumPy: the definition, and the stand-in."""
    rgb = Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
    cells = np.asarray(rgb.convert("L"))
    wide = cells.astype(np.int64)
    return ReducedSums(
        total=int(wide.sum()),
        square=int(np.square(wide).sum()),
        saturation=saturation_sum(*planes),
        black=_blank(cells <= BLACK),
        white=_blank(cells >= WHITE),
        cells=cells,
        histogram=np.array(rgb.histogram(), dtype=np.uint32).reshape(3, 256),
    )


def _blank(blank: npt.NDArray[np.bool_]) -> int:
    """Count the tiles all of whose cells are blank; those at the edges may be smaller."""
    rows, columns = (np.arange(0, side, _SIDE) for side in blank.shape)
    tiles = np.logical_and.reduceat(np.logical_and.reduceat(blank, rows, axis=0), columns, axis=1)
    return int(tiles.sum())

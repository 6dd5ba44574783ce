"""Measure a JPEG at 1/8 of its size: for hosts where decoding is what ingestion waits for.

Scaled to 1/8, libjpeg takes only the mean of every 8-pixel block. It still has to read every
Huffman code of the stream to find the next block, so a file that ends early or is damaged is
refused just as it is by a full decode (tests hold the two together on thousands of damaged files);
the inverse transforms, colour conversion and three quarters of the memory traffic are saved.

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

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from boatseg_core.imaging.figures import Figures, variance
from boatseg_core.imaging.fingerprint import CELL, cell_fingerprints
from boatseg_core.imaging.sums import BLACK, SATURATION_SCALE, TILE, WHITE, saturation_sum

_SIDE = TILE // CELL  # cells along a tile that may be blank


def reduce(image: Image.Image, orientation: int) -> bool:
    """Ask for an opened image to be decoded at 1/8 of its size.

    Args:
        image: As :func:`.decode.open_image` returned it; nothing of it may be decoded yet.
        orientation: Its EXIF orientation, 1 to 8.

    Returns:
        Whether it will be. Not for other formats than JPEG, for pictures of less than 8 pixels a
        side, and for those to be turned around an edge that cuts a cell: their cells would not lie
        where those of a full decode do.
    """
    width, height = image.size
    whole = width % CELL == 0 and height % CELL == 0
    if not isinstance(image, JpegImageFile) or min(width, height) < CELL:
        return False
    if orientation != 1 and not whole:
        return False
    return image.draft(None, (width // CELL, height // CELL)) is not None


def figures_of_reduced(rgb: Image.Image, width: int, height: int) -> Figures:
    """Measure a picture that was decoded at 1/8 of its size.

    Args:
        rgb: Image of mode ``RGB`` and size ``[ceil(height / 8), ceil(width / 8)]``, upright.
        width: Width of the whole picture in pixels, upright.
        height: Its height in pixels.
    """
    grey = rgb.convert("L")
    levels = np.array(grey.histogram(), dtype=np.int64)
    scale = np.arange(256)
    total, square = int(levels @ scale), int(levels @ scale**2)
    cells = np.asarray(grey)
    colours = np.ascontiguousarray(np.asarray(rgb).transpose(2, 0, 1))
    return Figures(
        brightness=total / cells.size,
        contrast=variance(cells.size, total, square) ** 0.5,
        sharpness=None,
        saturation=saturation_sum(*colours) / (SATURATION_SCALE * cells.size),
        black_share=_share(cells <= BLACK) if levels[: BLACK + 1].any() else 0.0,
        white_share=_share(cells >= WHITE) if levels[WHITE:].any() else 0.0,
        histogram=np.array(rgb.histogram(), dtype="<u4").tobytes(),
        tiles=cell_fingerprints(cells[: height // CELL, : width // CELL]).tobytes(),
    )


def _share(blank: npt.NDArray[np.bool_]) -> float:
    """Share of the tiles all of whose cells are blank; those at the edges may be smaller."""
    rows, columns = (np.arange(0, side, _SIDE) for side in blank.shape)
    tiles = np.logical_and.reduceat(np.logical_and.reduceat(blank, rows, axis=0), columns, axis=1)
    return float(tiles.mean())

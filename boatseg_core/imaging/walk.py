"""Walk a JPEG at 1/8 of its size, without its library.

libjpeg decodes every coefficient even where it goes on to use one in 64. ``csrc/jpeg_walk.c`` reads
the same stream in a third of the time: it looks up as many Huffman codes as fit into 12 bits at
once and skips what they stand for. It is trusted with no verdict: only a file in which every code,
marker and bit is where the standard wants it is taken, and then its pixels are libjpeg-turbo's, to
the last bit; everything else, damaged or merely unusual, is left to the library. Tests hold the two
together on thousands of files, whole and damaged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from boatseg_core.imaging import native
from boatseg_core.imaging.jpeg import rounds_as_known

SIDE = 8
"""Pixels along a block, of which one is left."""

Planes = npt.NDArray[np.uint8]


def walk(data: bytes, width: int, height: int) -> Planes | None:
    """Read a JPEG at 1/8 of its size.

    Args:
        data: The file's bytes.
        width: Width of the picture in pixels, as its header has it.
        height: Its height in pixels.

    Returns:
        uint8 ``[3, ceil(height / 8), ceil(width / 8)]``, red, green and blue, not turned; what
        Pillow gives for ``draft(None, (width // 8, height // 8))``. ``None`` if the file has to be
        left to Pillow: it is progressive, CMYK or otherwise unusual, or not whole; or the package
        was installed without a C compiler, or Pillow with another library than libjpeg-turbo, whose
        rounding is the one known here.
    """
    if native.pixels is None or not rounds_as_known():
        return None
    planes = native.pixels.walk(data, width, height)
    if planes is None:
        return None
    return np.frombuffer(planes, np.uint8).reshape(3, -(-height // SIDE), -(-width // SIDE))

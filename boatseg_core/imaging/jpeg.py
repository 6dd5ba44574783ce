"""Decode a JPEG, or a part of it, without its library.

``csrc/jpeg_decoder.h`` reads two coefficients at a time, transforms two blocks at a time, and skips
what lies outside the wanted box, in two thirds of the library's time for a whole picture and in a
fifth for a crop. As the walker (:mod:`.walk`), it is trusted with no verdict: only a file in which
every code, marker and bit is where the standard wants it is taken, and then its pixels are
libjpeg-turbo's, to the last bit; everything else, damaged or merely unusual, is left to the library
by returning ``None``. Tests hold the two together on thousands of files, whole and damaged.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from boatseg_core.imaging import native

U8 = npt.NDArray[np.uint8]

_ORIENTATION = 0x0112

_FIRST_TURBO: Final = (1, 5, 1)
"""The first libjpeg-turbo that smooths chroma which is halved downwards alone."""


def is_plain(image: Image.Image) -> bool:
    """Say whether an opened image may be read here: one JPEG, not turned by its EXIF block.

    Args:
        image: As :func:`.decode.open_image` returned it; nothing of it may be decoded yet.
    """
    if image.format != "JPEG" or native.pixels is None or not rounds_as_known():
        return False
    try:
        # What is turned, or tagged with nonsense, is left to Pillow.
        return bool(image.getexif().get(_ORIENTATION, 1) == 1)
    except MemoryError:
        raise
    except Exception:  # the verdict on the file is that of a decode from its start
        return False


def pixels(
    data: bytes,
    size: tuple[int, int],
    *,
    box: tuple[int, int, int, int] | None = None,
    halved: bool = False,
) -> U8 | None:
    """Decode a JPEG or a box of it.

    Args:
        data: The bytes of a file that :func:`is_plain` is true of.
        size: Width and height of the picture in pixels, as its header has them.
        box: Left and top edge, width and height of what is wanted, in pixels (of the halved
            picture if ``halved``); by default all of it. What the file holds below the box is not
            looked at.
        halved: Decode at half the size, ``ceil(width / 2)`` by ``ceil(height / 2)``.

    Returns:
        uint8 ``[H, W, 3]`` RGB; what Pillow gives, with ``draft`` if halved. ``None`` if the file
        has to be left to Pillow.

    Raises:
        ValueError: The box does not lie in the picture.
    """
    if native.pixels is None:
        return None
    width, height = size
    if box is None:
        box = (0, 0, -(-width // 2), -(-height // 2)) if halved else (0, 0, width, height)
    out = np.empty((box[3], box[2], 3), dtype=np.uint8)
    return out if native.pixels.decode(data, width, height, *box, halved, out) else None


@cache
def rounds_as_known() -> bool:
    """Whether Pillow decodes with a libjpeg-turbo whose rounding is the one known here.

    Compared were 3.2 (with the SIMD code of x86-64 and of aarch64) and 2.1 (without any, on s390x).
    """
    version = features.version_feature("libjpeg_turbo")  # None: another library
    numbers = re.findall(r"\d+", version or "")
    return tuple(int(number) for number in numbers[:3]) >= _FIRST_TURBO

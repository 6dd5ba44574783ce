"""From the bytes of a picture to pixels of the size that is wanted.

A JPEG that is wanted smaller is decoded smaller: scaled by 1/2, 1/4 or 1/8 inside the inverse
cosine transform, which saves most of its work. What is left to the wanted size is filtered
(bilinear with the support of the reduction, which antialiases). A mask is brought to the same
pixel grid by coverage: a pixel is boat where boats cover half of it or more.
"""

from __future__ import annotations

import sys
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from boatseg_core.imaging import jpeg
from boatseg_core.imaging.decode import decode, load_rgb, open_image
from boatseg_core.imaging.mask_png import decode_mask

U8 = npt.NDArray[np.uint8]

RECIPE: Final = 1
"""Counts up with every change of the pixels made here: caches of decoded images are keyed by it."""

# What is in gold passed decode.max_pixels when it was ingested; a bound set since, or a default,
# must not make a pinned version unreadable.
NO_BOUND: Final = sys.maxsize

_ORIENTATION = 0x0112


def image_at(data: bytes, height: int, width: int) -> U8:
    """Decode an image scaled to a size.

    Args:
        data: The file's bytes.
        height: Wanted height, in pixels.
        width: Wanted width; the picture is stretched where its sides are in another proportion.

    Returns:
        uint8 ``[height, width, 3]`` RGB, upright.

    Raises:
        ImageError: See :data:`boatseg_core.imaging.decode.REASONS`.
    """
    image = open_image(data, max_pixels=NO_BOUND)
    times = min(image.width // max(width, 1), image.height // max(height, 1))
    if times < 4 and jpeg.is_plain(image):
        pixels = jpeg.pixels(data, image.size, halved=times >= 2)
        if pixels is not None:
            if pixels.shape[:2] == (height, width):
                return pixels
            whole = Image.fromarray(pixels)
            return np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
    if isinstance(image, JpegImageFile):
        turned = height != width and _swaps_sides(image)
        # Never below what is wanted; a picture that is already smaller is left as it is.
        image.draft(None, (height, width) if turned else (width, height))
    rgb = load_rgb(image)
    if rgb.size != (width, height):
        rgb = rgb.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def _swaps_sides(image: Image.Image) -> bool:
    try:
        tag = image.getexif().get(_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # the verdict on the file is that of its decode
        return False
    return isinstance(tag, int) and 5 <= tag <= 8  # text, or a number that means nothing, does not


def region(data: bytes, left: int, top: int, width: int, height: int) -> U8:
    """Decode a box of an image: as much of it as lies within the image.

    Of a JPEG only what it takes is decoded. Damage below the box is not noticed then; what is in
    gold was decoded whole when it was ingested.

    Args:
        data: The file's bytes.
        left: Left edge of the box in pixels, upright; 0 or more.
        top: Top edge; 0 or more.
        width: Of the box, in pixels.
        height: Of the box.

    Returns:
        uint8 ``[h, w, 3]`` RGB, upright: ``decode(data)[top : top + height, left : left + width]``.

    Raises:
        ImageError: See :data:`boatseg_core.imaging.decode.REASONS`.
        ValueError: ``left`` or ``top`` is negative.
    """
    if min(left, top) < 0:
        raise ValueError(f"a region begins at {left}, {top}: neither may be negative")
    image = open_image(data, max_pixels=NO_BOUND)
    if jpeg.is_plain(image):
        across, down = min(width, image.width - left), min(height, image.height - top)
        if min(across, down) > 0:
            pixels = jpeg.pixels(data, image.size, box=(left, top, across, down))
            if pixels is not None:
                return pixels
    return decode(data, max_pixels=NO_BOUND)[top : top + height, left : left + width]


def mask_at(data: bytes, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Decode a mask scaled to a size, onto the pixel grid of :func:`image_at`.

    Args:
        data: The mask picture's bytes.
        height: Wanted height, in pixels.
        width: Wanted width.

    Returns:
        bool ``[height, width]``: where boats cover half of a pixel or more.

    Raises:
        ImageError: See :func:`boatseg_core.imaging.mask_png.decode_mask`.
    """
    mask = decode_mask(data, max_pixels=NO_BOUND)
    if mask.shape == (height, width):
        return mask
    if not mask.any():
        return np.zeros((height, width), dtype=np.bool_)
    grey = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
    return np.asarray(grey.resize((width, height), Image.Resampling.BOX)) >= 128

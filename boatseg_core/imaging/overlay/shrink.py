"""Pictures and masks made small."""

from __future__ import annotations

import numpy as np
from PIL import Image

from boatseg_core.imaging.decode import load_rgb, open_image
from boatseg_core.imaging.overlay.paint import Pixels
from boatseg_core.imaging.rle import BoolMask

# A share of the mask pixel that has to survive when a mask is made smaller: low enough that a
# boat of two thumbnail pixels is still there, high enough that touching boats stay apart.
_KEEP = 0.3


def thumbnail(image: bytes | Pixels, size: int = 256) -> Pixels:
    """Make a picture small.

    JPEG bytes are decoded at a fraction of their size, several times faster than in full.

    Args:
        image: An image file's bytes, or uint8 ``[H, W, 3]``.
        size: Longer side of the result in pixels; a smaller picture is returned as it is.

    Returns:
        uint8 ``[h, w, 3]``, aspect ratio kept, EXIF orientation applied.

    Raises:
        ImageError: The bytes are not an image that can be read.
    """
    if isinstance(image, np.ndarray):
        return shrink(Image.fromarray(image), size)
    with open_image(image) as picture:
        picture.draft("RGB", (size, size))  # only JPEG heeds it
        return shrink(load_rgb(picture), size)


def shrink(picture: Image.Image, size: int) -> Pixels:
    """Make an open picture small; see :func:`thumbnail`."""
    width, height = picture.size
    scale = size / max(width, height)
    if scale < 1:
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = picture.resize(small, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.array(picture, dtype=np.uint8)


def shrink_mask(mask: BoolMask, height: int, width: int) -> BoolMask:
    """Bring a mask to the size of a thumbnail without losing small objects.

    Args:
        mask: bool ``[H, W]``.
        height: Rows of the result, in pixels.
        width: Columns of the result, in pixels.

    Returns:
        bool ``[height, width]``: where at least 30 % of the area is covered.
    """
    if mask.shape == (height, width):
        return mask
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(grey.resize((width, height), Image.Resampling.BOX)) >= 255 * _KEEP

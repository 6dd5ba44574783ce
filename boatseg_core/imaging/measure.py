"""Everything that is measured on an image, in one decode."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from boatseg_core.imaging.decode import DEFAULT_MAX_PIXELS, load_rgb, open_image
from boatseg_core.imaging.figures import Figures, figures, jpeg_figures
from boatseg_core.imaging.jpeg import is_plain
from boatseg_core.imaging.reduced import figures_of_reduced, planes_of, reduce, reducible
from boatseg_core.imaging.walk import walk

Mode = Literal["full", "entropy"]
"""How an image is read: every pixel, or every coefficient at 1/8 of the size."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What one image is like; the fields are columns of ``raw_images``, where explained."""

    sha256: str
    size_bytes: int
    width: int
    height: int
    mode: str
    format: str
    orientation: int
    bits: int
    measured: Mode
    brightness: float
    contrast: float
    sharpness: float | None
    saturation: float
    black_share: float
    white_share: float
    histogram: bytes
    tiles: bytes


def measure(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, mode: Mode = "full"
) -> Measurements:
    """Decode an image and measure it.

    Args:
        data: The file's bytes.
        max_pixels: Larger pictures are refused before anything is decoded.
        mode: ``full`` measures every pixel. ``entropy`` reads a JPEG at 1/8 of its size: every
            coefficient is still walked, so that damage is found all the same, but the pixels
            measured are 8-pixel averages; see :mod:`.reduced`. Where that cannot be done (any
            other format) the picture is measured in full; ``measured`` tells.

    Raises:
        ImageError: The bytes are not a whole image.
    """
    image = open_image(data, max_pixels=max_pixels)
    # Pillow calls a JPEG that carries further pictures (a phone's preview or depth map) MPO; the
    # first picture, the only one read, is a plain JPEG.
    stored_format = "JPEG" if image.format == "MPO" else image.format or ""
    stored_mode = image.mode
    # Asked before the pixels are decoded: a TIFF forgets its orientation once it is applied.
    tag, readable = _orientation(image)
    orientation = tag if isinstance(tag, int) and 1 <= tag <= 8 else 1
    reduced = whole = None
    if not readable:
        # A PNG decodes all its pixels to find its EXIF block; after a failure it would hand out
        # the half-filled picture as whole.
        image = open_image(data, max_pixels=max_pixels)
    elif mode == "entropy":
        reduced = _measure_reduced(data, image, tag, orientation)
    elif is_plain(image):
        whole = jpeg_figures(data, image.width, image.height)
    if reduced:
        width, height, found = reduced
    elif whole:
        (width, height), found = image.size, whole
    else:
        rgb = load_rgb(image)
        (width, height), found = rgb.size, figures(rgb)
    return Measurements(
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        width=width,
        height=height,
        mode=stored_mode,
        format=stored_format,
        orientation=orientation,
        bits=_bits(stored_mode),
        measured="entropy" if reduced else "full",
        brightness=found.brightness,
        contrast=found.contrast,
        sharpness=found.sharpness,
        saturation=found.saturation,
        black_share=found.black_share,
        white_share=found.white_share,
        histogram=found.histogram,
        tiles=found.tiles,
    )


def _measure_reduced(
    data: bytes, image: Image.Image, tag: object, orientation: int
) -> tuple[int, int, Figures] | None:
    """Read an opened image at 1/8: its width and height, upright, and figures; ``None`` if not."""
    width, height = image.size
    # What is turned, or tagged with nonsense, is left to Pillow; so is a picture among several.
    if tag == 1 and image.format == "JPEG" and reducible(image, 1):
        planes = walk(data, width, height)
        if planes is not None:
            return width, height, figures_of_reduced(planes, width, height)
    if not reduce(image, orientation):
        return None
    if orientation >= 5:
        width, height = height, width
    return width, height, figures_of_reduced(planes_of(load_rgb(image)), width, height)


def _orientation(image: Image.Image) -> tuple[object, bool]:
    """Read the tag of the EXIF orientation, 1 without one; and whether it could be read."""
    try:
        return image.getexif().get(0x0112, 1), True
    except MemoryError:
        raise
    except Exception:  # the verdict on the file is that of a decode from its start
        return 1, False


def _bits(mode: str) -> int:
    if mode == "1":
        return 1
    if mode.startswith("I;16"):
        return 16
    return 32 if mode in ("I", "F") else 8

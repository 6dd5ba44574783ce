"""Everything that is measured on an image, in one decode."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Literal

from PIL import Image

from boatseg_core.imaging.decode import DEFAULT_MAX_PIXELS, load_rgb, open_image
from boatseg_core.imaging.figures import figures
from boatseg_core.imaging.reduced import figures_of_reduced, reduce

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
    orientation = _orientation(image)
    if orientation is None:
        # A PNG decodes all its pixels to find its EXIF block; after a failure it would hand out
        # the half-filled picture as whole.
        image = open_image(data, max_pixels=max_pixels)
    width, height = image.size
    reduced = mode == "entropy" and orientation is not None and reduce(image, orientation)
    rgb = load_rgb(image)
    if not reduced:
        width, height = rgb.size
    elif (orientation or 1) >= 5:
        width, height = height, width
    return Measurements(
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        width=width,
        height=height,
        mode=stored_mode,
        format=stored_format,
        orientation=orientation or 1,
        bits=_bits(stored_mode),
        measured="entropy" if reduced else "full",
        **asdict(figures_of_reduced(rgb, width, height) if reduced else figures(rgb)),
    )


def _orientation(image: Image.Image) -> int | None:
    """Read the EXIF orientation, or ``None`` when the file is damaged where it is looked for."""
    try:
        value = image.getexif().get(0x0112, 1)
    except MemoryError:
        raise
    except Exception:  # the verdict on the file is that of a decode from its start
        return None
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _bits(mode: str) -> int:
    if mode == "1":
        return 1
    if mode.startswith("I;16"):
        return 16
    return 32 if mode in ("I", "F") else 8

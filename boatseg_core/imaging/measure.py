"""Everything that is measured on an image, in one decode."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from boatseg_core.imaging.decode import DEFAULT_MAX_PIXELS, load_rgb, open_image
from boatseg_core.imaging.fingerprint import tile_fingerprints

_TILE = 32  # px, side of the tiles that count as blank
_BLACK = 2  # grey levels of slack that JPEG needs around a flat black or white
_WHITE = 253


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
    brightness: float
    contrast: float
    sharpness: float
    saturation: float
    black_share: float
    white_share: float
    histogram: bytes
    tiles: bytes


def measure(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Measurements:
    """Decode an image completely and measure it.

    Args:
        data: The file's bytes.
        max_pixels: Larger pictures are refused before anything is decoded.

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
    rgb = load_rgb(image)
    grey = rgb.convert("L")
    luminance = np.asarray(grey)
    brightness, contrast = _moments(grey)
    black, white = _blank_shares(luminance)
    return Measurements(
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        width=rgb.width,
        height=rgb.height,
        mode=stored_mode,
        format=stored_format,
        orientation=orientation or 1,
        bits=_bits(stored_mode),
        brightness=brightness,
        contrast=contrast,
        sharpness=_sharpness(luminance),
        saturation=_saturation(rgb),
        black_share=black,
        white_share=white,
        histogram=np.array(rgb.histogram(), dtype="<u4").tobytes(),
        tiles=tile_fingerprints(grey).tobytes(),
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


def _moments(grey: Image.Image) -> tuple[float, float]:
    histogram = np.array(grey.histogram(), dtype=np.float64)
    levels = np.arange(256, dtype=np.float64)
    mean = float(histogram @ levels / histogram.sum())
    variance = float(histogram @ (levels - mean) ** 2 / histogram.sum())
    return mean, variance**0.5


def _sharpness(luminance: npt.NDArray[np.uint8]) -> float:
    """Variance of the 4-neighbour Laplacian (Pech-Pacheco et al., ICPR 2000)."""
    if min(luminance.shape) < 3:
        return 0.0
    v = luminance.astype(np.int16)
    laplacian = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:] - 4 * v[1:-1, 1:-1]
    flat = laplacian.reshape(-1).astype(np.float32)
    return float(flat @ flat / flat.size - flat.mean() ** 2)


def _saturation(rgb: Image.Image) -> float:
    # A 1/4-size box average: saturation is a broad property and this is 16 times less work.
    small = np.asarray(rgb.reduce(4) if min(rgb.size) >= 4 else rgb, dtype=np.float32)
    red, green, blue = small[..., 0], small[..., 1], small[..., 2]
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    return float(np.mean((high - low) / np.maximum(high, 1.0)))


def _blank_shares(luminance: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Shares of the tiles that are entirely black and entirely white."""
    height, width = luminance.shape
    rows = np.arange(0, height, _TILE)
    columns = np.arange(0, width, _TILE)
    high = np.maximum.reduceat(np.maximum.reduceat(luminance, rows, axis=0), columns, axis=1)
    low = np.minimum.reduceat(np.minimum.reduceat(luminance, rows, axis=0), columns, axis=1)
    return float(np.mean(high <= _BLACK)), float(np.mean(low >= _WHITE))

"""What a picture looks like, in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from boatseg_core.imaging.fingerprint import cell_fingerprints
from boatseg_core.imaging.sums import SATURATION_SCALE, Sums, jpeg_sums, sums


@dataclass(frozen=True, slots=True)
class Figures:
    """Measurements of pixels; ``raw_images`` explains them column by column."""

    brightness: float
    contrast: float
    sharpness: float | None
    saturation: float
    black_share: float
    white_share: float
    histogram: bytes
    tiles: bytes


def figures(rgb: Image.Image) -> Figures:
    """Measure a picture.

    Sharpness is the variance of the 4-neighbour Laplacian (Pech-Pacheco et al., "Diatom
    autofocusing in brightfield microscopy", ICPR 2000); 0 for a picture without inner pixels.

    Args:
        rgb: Image of mode ``RGB``.
    """
    return _figures(sums(rgb))


def jpeg_figures(data: bytes, width: int, height: int) -> Figures | None:
    """Measure a JPEG while it is decoded; see :func:`.sums.jpeg_sums`."""
    found = jpeg_sums(data, width, height)
    return None if found is None else _figures(found)


def _figures(s: Sums) -> Figures:
    return Figures(
        brightness=s.total / s.pixels,
        contrast=variance(s.pixels, s.total, s.square) ** 0.5,
        sharpness=variance(s.inner, s.laplacian, s.laplacian_square),
        saturation=s.saturation / (SATURATION_SCALE * s.blocks),
        black_share=s.black / s.tiles,
        white_share=s.white / s.tiles,
        histogram=s.histogram.astype("<u4", copy=False).tobytes(),
        tiles=cell_fingerprints(s.cells).tobytes(),
    )


def variance(count: int, total: int, square: int) -> float:
    """Population variance from integer sums, exact up to the last rounding; 0 of nothing."""
    return (count * square - total * total) / (count * count) if count else 0.0

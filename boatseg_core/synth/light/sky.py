"""What lies between the water and the camera: haze, thin cloud, cloud shadow, mosaic seams."""

from __future__ import annotations

import numpy as np

from boatseg_core.synth.noise import F32, clip01, fractal, resize, smoothstep

__all__ = ["Clouds", "make_clouds", "veil"]


class Clouds:
    """Opacity of cloud and of its shadow on the water.

    Attributes:
        opacity: Float32 ``[H, W]``, 0..1.
        shadow: Float32 ``[H, W]``, share of light lost, 0..1.
    """

    def __init__(self, opacity: F32, shadow: F32) -> None:
        self.opacity = opacity
        self.shadow = shadow


def make_clouds(rng: np.random.Generator, height: int, width: int) -> Clouds:
    """Draws thin or broken cloud.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.

    Returns:
        Cloud opacity and the shadow it casts.
    """
    cell = float(rng.uniform(180, 600))
    stretch = (1.0, float(rng.uniform(1.0, 2.6)))
    field = fractal(rng, height, width, cell, 8, gain=0.56, stretch=stretch)
    # Ridges give cirrus its fibres.
    fibre: F32 = np.abs(fractal(rng, height, width, cell / 2, 7, gain=0.6, stretch=stretch))
    field -= fibre * np.float32(rng.uniform(0.2, 0.9))
    cover = float(rng.uniform(-0.5, 0.9))
    thickness = float(rng.choice([0.25, 0.45, 0.7, 0.95]))
    softness = float(rng.uniform(2.2, 3.6))
    opacity = smoothstep(cover, cover + softness, field) * np.float32(thickness)
    # Even thick cloud is no flat sheet.
    opacity *= clip01(np.float32(1.1) - fibre * np.float32(rng.uniform(0.25, 0.6)))
    dy, dx = (int(v) for v in rng.integers(20, 120, 2))
    # Rolling wraps round the frame; the copies at the border are as good a shadow as any.
    shadow = np.roll(opacity, (dy, -dx), (0, 1)) * np.float32(rng.uniform(0.2, 0.5))
    return Clouds(opacity, shadow)


def veil(
    rng: np.random.Generator, rgb: F32, clouds: Clouds | None, *, haze: float, seam: bool
) -> None:
    """Applies cloud shadow, cloud, haze and a mosaic seam to a picture, in place.

    Args:
        rng: Source of randomness.
        rgb: Picture, float32 ``[3, H, W]``, 0..255.
        clouds: Clouds, or None for a clear sky.
        haze: Mean share of light scattered by haze, 0..1.
        seam: Whether two exposures meet along a line.
    """
    height, width = rgb.shape[1:]
    if clouds is not None:
        rgb *= (np.float32(1) - clouds.shadow)[None]
        shade = fractal(rng, height, width, 90, 4) * np.float32(5)
        white = float(rng.uniform(150, 235))
        for channel, tint in enumerate((1.0, 1.0, 1.01)):
            target = shade + np.float32(white * tint)
            rgb[channel] += (target - rgb[channel]) * clouds.opacity
    if haze > 0:
        rows, columns = height // 16, width // 16
        field = fractal(rng, rows, columns, float(rng.uniform(20, 70)), 3)
        amount = clip01(
            (np.float32(1) + field * np.float32(rng.uniform(0.02, 0.25))) * np.float32(haze)
        )
        amount = resize(amount, height, width)
        colour = rng.normal((128, 152, 160), (10, 6, 8))
        for channel in range(3):
            rgb[channel] += (np.float32(colour[channel]) - rgb[channel]) * amount
    if seam:
        at = int(rng.integers(width // 5, width * 4 // 5))
        slope = float(rng.normal(0, 0.08))
        x = np.arange(width, dtype=np.float32)[None, :]
        y = np.arange(height, dtype=np.float32)[:, None]
        side = smoothstep(-4, 4, x - np.float32(at) - y * np.float32(slope))
        gain = rng.normal(0, 0.1, 3) * 0.4 + float(rng.normal(0, 0.1))
        for channel in range(3):
            rgb[channel] *= np.float32(1) + side * np.float32(gain[channel])

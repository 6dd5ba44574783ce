"""The camera: chroma at a quarter of the resolution, blur, sharpening, grain.

The real pictures are pansharpened: a sharp grey band carries the detail, colour comes from bands
four times coarser, and the product is sharpened afterwards, which leaves dark rims around bright
hulls and makes colours bleed past them. All three are imitated because a model sees them.
"""

from __future__ import annotations

import numpy as np

from boatseg_core.synth.noise import F32, resize

__all__ = ["expose"]

_LUMA = (0.299, 0.587, 0.114)


def _binomial(field: F32, passes: int) -> F32:
    """Blurs with ``[1, 2, 1] / 4`` along both axes, ``passes`` times (variance 0.5 each)."""
    for _ in range(passes):
        for axis in (0, 1):
            padded = np.pad(field, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            if axis == 0:
                field = padded[:-2] + padded[2:]
                field += np.float32(2) * padded[1:-1]
            else:
                field = padded[:, :-2] + padded[:, 2:]
                field += np.float32(2) * padded[:, 1:-1]
            field *= np.float32(0.25)
    return field


def expose(rng: np.random.Generator, rgb: F32) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Turns light into pixels.

    Args:
        rng: Source of randomness.
        rgb: Scene, float32 ``[3, H, W]``, 0..255, both sides multiples of 4.

    Returns:
        Picture, uint8 ``[H, W, 3]``.
    """
    height, width = rgb.shape[1:]
    luma = rgb[0] * np.float32(_LUMA[0])
    luma += rgb[1] * np.float32(_LUMA[1])
    luma += rgb[2] * np.float32(_LUMA[2])

    sharp = rng.random() < 0.12
    grain = float(rng.uniform(0.6, 1.5)) if sharp else float(rng.uniform(1.6, 3.4))
    seen = luma + rng.standard_normal(luma.shape, dtype=np.float32) * np.float32(grain)
    seen = _binomial(seen, 0 if sharp else int(rng.choice((1, 2, 2, 3))))
    halo = seen - _binomial(seen, 4)
    seen += halo * np.float32(rng.uniform(0.2, 0.6) if sharp else rng.uniform(0.6, 1.5))

    coarse_grain = float(rng.uniform(0.25, 0.75))
    picture = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        chroma = rgb[channel] - luma
        coarse = chroma.reshape(height // 4, 4, width // 4, 4).mean((1, 3), dtype=np.float32)
        coarse += rng.standard_normal(coarse.shape, dtype=np.float32) * np.float32(coarse_grain)
        plane = resize(coarse, height, width) + seen
        plane += np.float32(0.5)
        picture[..., channel] = np.clip(plane, 0, 255).astype(np.uint8)
    return picture

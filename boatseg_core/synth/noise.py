"""Random fields: fractal noise for land, cloud and colour, spectral noise for waves.

Everything a pixel depends on is built from additions, multiplications, divisions and square
roots in float32 (exact by IEEE 754) and from FFTs; transcendental functions run in float64 on
small arrays only, because their float32 versions differ by a unit in the last place between
CPU generations, which would show as different bytes for the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

F32 = NDArray[np.float32]

__all__ = [
    "F32",
    "WaveTrain",
    "clip01",
    "fractal",
    "quotient",
    "resize",
    "smoothstep",
    "wave_field",
]


def resize(field: F32, height: int, width: int) -> F32:
    """Interpolates a field to another size (bicubic).

    Args:
        field: Array ``[h, w]``.
        height: Rows wanted.
        width: Columns wanted.

    Returns:
        Array ``[height, width]``.
    """
    if field.shape == (height, width):
        return field
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(scaled, dtype=np.float32)


def quotient(numerator: F32 | np.float32, denominator: F32 | np.float32) -> F32:
    """Divides in float32, whatever promotion rules say."""
    return np.divide(numerator, denominator, dtype=np.float32)


def clip01(field: F32) -> F32:
    """Limits a field to 0..1."""
    return np.clip(field, np.float32(0), np.float32(1))


def smoothstep(low: float, high: float, field: F32) -> F32:
    """The cubic ramp that is 0 at ``low`` and 1 at ``high`` (either may be the larger)."""
    t = clip01((field - np.float32(low)) * np.float32(1.0 / (high - low)))
    return t * t * (np.float32(3) - np.float32(2) * t)


def fractal(
    rng: np.random.Generator,
    height: int,
    width: int,
    cell: float,
    octaves: int = 4,
    gain: float = 0.5,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> F32:
    """Sums octaves of smooth value noise.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        cell: Size of the largest blobs in pixels.
        octaves: Number of octaves, each half the size of the one before.
        gain: Amplitude of an octave relative to the one before.
        stretch: Factors on the cell size along rows and columns.

    Returns:
        Array ``[height, width]`` with mean about 0 and standard deviation about 1.
    """
    total = np.zeros((height, width), np.float32)
    power = 0.0
    amplitude = 1.0
    for octave in range(octaves):
        size = cell / 2**octave
        rows = max(2, round(height / (size * stretch[0]))) + 3
        columns = max(2, round(width / (size * stretch[1]))) + 3
        if rows > height or columns > width:
            break
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        total += np.float32(amplitude) * resize(grid, height, width)
        # Bicubic interpolation of white noise keeps about 0.62 of its variance.
        power += amplitude * amplitude * 0.62
        amplitude *= gain
    return total * np.float32(1.0 / max(power, 1e-6) ** 0.5)


@dataclass(frozen=True)
class WaveTrain:
    """One system of waves.

    Attributes:
        wavelength: Peak wavelength in pixels.
        direction: Unit vector ``(x, y)`` of travel.
        amplitude: Standard deviation of brightness in grey levels.
        focus: 0 for waves from all sides, 1 to 4 for ever straighter crests.
        ripples: Whether longer waves come along (fine chop) or are filtered out (swell).
    """

    wavelength: float
    direction: tuple[float, float]
    amplitude: float
    focus: int = 2
    ripples: bool = True


def _spectrum(train: WaveTrain, kx: F32, ky: F32) -> F32:
    """Amplitude spectrum of a wave train on a half plane, not yet normalised."""
    squared = kx * kx + ky * ky
    ratio = squared * np.float32(train.wavelength * train.wavelength)
    # Rational band passes need no transcendental functions. Chop seen at one and a half metres a
    # pixel is nearly white up to the camera's blur; swell has a peak.
    one = np.float32(1) + ratio
    if train.ripples:
        band = quotient(np.sqrt(np.sqrt(ratio)), one)
    else:
        band = quotient(ratio, one * one * np.sqrt(one))
    along = kx * np.float32(train.direction[0]) + ky * np.float32(train.direction[1])
    cosine2 = quotient(along * along, squared + np.float32(1e-12))
    for _ in range(train.focus):
        band = band * cosine2
        if train.focus >= 3:
            cosine2 = cosine2 * cosine2
    return band


def wave_field(
    rng: np.random.Generator, height: int, width: int, trains: list[WaveTrain]
) -> list[F32]:
    """Draws one random field per wave train, all periodic over the scene.

    The method is the usual spectral synthesis of a sea surface (Tessendorf, "Simulating Ocean
    Water", 2001): complex Gaussian noise shaped by an amplitude spectrum, then an inverse FFT.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        trains: Wave trains.

    Returns:
        One array ``[height, width]`` per train with standard deviation ``train.amplitude``.
    """
    kx = np.fft.rfftfreq(width).astype(np.float32)[None, :]
    ky = np.fft.fftfreq(height).astype(np.float32)[:, None]
    fields = []
    for train in trains:
        shape = _spectrum(train, kx, ky)
        noise = rng.standard_normal((2, height, width // 2 + 1), dtype=np.float32) * shape
        spectrum = np.empty((height, width // 2 + 1), np.complex64)
        spectrum.real = noise[0]
        spectrum.imag = noise[1]
        field = np.fft.irfft2(spectrum, s=(height, width)).astype(np.float32)
        deviation = float(np.sqrt(np.mean(field * field, dtype=np.float64)))
        fields.append(field * np.float32(train.amplitude / max(deviation, 1e-20)))
    return fields

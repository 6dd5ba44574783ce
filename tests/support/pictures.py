"""Small images for tests, drawn rather than stored."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def texture(seed: int, height: int = 256, width: int = 256) -> np.ndarray:
    """Random 8-pixel blocks with noise: textured, and unlike any other seed's."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(40, 200, size=(height // 8 + 1, width // 8 + 1, 3))
    big = blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return np.clip(big + rng.normal(0, 3, big.shape), 0, 255).astype(np.uint8)


def encoded(image: np.ndarray, format_name: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format_name, **options)
    return buffer.getvalue()


def drop(folder: Path, name: str, data: bytes) -> Path:
    """Write a file the way a careful writer does: complete, then renamed."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(data)
    return temporary.rename(file)

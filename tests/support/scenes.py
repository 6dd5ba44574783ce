"""A tiny labelled landing folder: textured seas with bright rectangular boats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boatseg_core.imaging import rle
from support.pictures import drop, encoded, texture

SIDE = 256


def write_scenes(landing: Path, count: int, *, seed: int = 0, labelled: bool = True) -> list[str]:
    """Write images (every second with a boat) and, if wanted, their CSV; return the names."""
    rng = np.random.default_rng(seed)
    lines = ["ImageId,EncodedPixels"]
    names = []
    for i in range(count):
        image = texture(seed * 1000 + i, SIDE, SIDE) // 3
        mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
        if i % 2:
            x, y = rng.integers(10, 180, 2)
            mask[y : y + 24, x : x + 60] = True
            image[mask] = (250, 240, 230)
        name = f"s{seed}-{i:03}.jpg"
        drop(landing / "images", name, encoded(image, quality=92))
        lines.append(f"{name},{rle.encode(mask)}")
        names.append(name)
    if labelled:
        drop(landing, f"labels-{seed}.csv", "\n".join(lines).encode())
    return names

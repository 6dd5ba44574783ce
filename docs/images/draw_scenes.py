"""Draw ``scenes.jpg``, the picture at the top of the README.

Run ``python docs/images/draw_scenes.py`` after the generator changed, and look at what it drew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from boatseg_core.imaging.overlay import TRUTH, contour, thumbnail, to_jpeg
from boatseg_core.synth import Window, render_windows

SEED = 2027
# Scenes chosen so that each shows something else the generator can draw.
SCENES = (29, 20, 53, 32, 8, 17, 5, 54, 11, 41, 58, 18)
COLUMNS, CELL = 4, 240  # CELL in pixels


def outlined(window: Window) -> np.ndarray:
    """Circle the labelled boats of a window at a small distance; uint8 ``[H, W, 3]``."""
    image = window.image.copy()
    for instance in window.instances:
        mask = instance.full()
        box = Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(17))
        mask = np.asarray(box) > 0  # 8 pixels between hull and line, so that both are seen
        image[contour(mask, 3)] = TRUTH
    return image


def main() -> None:
    """Lay the chosen scenes out on a grid without gaps."""
    cells = [thumbnail(outlined(render_windows(SEED, s, empty_share=0.3)[0]), CELL) for s in SCENES]
    rows = [np.hstack(cells[i : i + COLUMNS]) for i in range(0, len(cells), COLUMNS)]
    # A tenth of a PNG's bytes in every clone; a palette would show in clouds and water.
    Path(__file__).with_name("scenes.jpg").write_bytes(to_jpeg(np.vstack(rows), quality=88))


if __name__ == "__main__":
    main()

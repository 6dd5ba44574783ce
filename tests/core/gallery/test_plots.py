from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from boatseg_core.gallery.plots import training_curve, training_curve_markdown

HISTORY = [
    {
        "step": 100 * i,
        "train_loss": 1 / i,
        "valid_loss": 1.2 / i,
        "per_image_iou": 0.75 + i / 50,
        "boat_iou": 0.1 * i,
        "floor_per_image_iou": 0.78,
    }
    for i in range(1, 6)
]


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def coloured(png: bytes, colour: str, half: int) -> int:
    ink = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    near = np.abs(pixels(png) - ink).max(axis=-1) < 12
    return int(near[:, :420].sum() if half == 0 else near[:, 420:].sum())


def test_losses_go_left_and_ious_right() -> None:
    png = training_curve(HISTORY)
    assert pixels(png).shape == (300, 840, 3)
    assert len(png) < 80_000
    without_iou = training_curve([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}])
    assert coloured(without_iou, "#0072b2", 0) > 100
    assert coloured(without_iou, "#0072b2", 1) == 0
    assert coloured(png, "#0072b2", 1) > 100


def test_the_floor_is_drawn_from_the_history_or_the_argument() -> None:
    bare = [{k: v for k, v in row.items() if "floor" not in k} for row in HISTORY]
    without = training_curve(bare)
    assert training_curve(HISTORY) == training_curve(bare, floor=0.78) != without


def test_gaps_odd_values_and_a_single_validation_are_drawn() -> None:
    for history in (
        [{"epoch": 1, "loss": 0.4}],
        [{"loss": float("nan"), "boat_iou": None}, {"loss": float("inf"), "boat_iou": 0.2}],
        [{"loss": np.float32(-0.5), "boat_iou": "text"}],
        [{"step": 1}],
    ):
        assert pixels(training_curve(history)).shape == (300, 840, 3)
    with pytest.raises(ValueError, match="no curve"):
        training_curve([])


def test_markdown_is_bounded() -> None:
    text = training_curve_markdown(HISTORY)
    assert text.startswith("![Loss and IoU over the training](data:image/png;base64,")
    assert len(text) < 150_000


def test_importing_the_gallery_does_not_import_matplotlib() -> None:
    code = (
        "import sys, boatseg_core.gallery.page, boatseg_core.gallery.query, "
        "boatseg_core.gallery.plots\n"
        "print([m for m in ('matplotlib', 'torch', 'mlflow', 'dagster') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

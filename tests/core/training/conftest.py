"""A gold table of small pictures: bright rectangles on a dark, noisy sea."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from boatseg_core.config import Settings, load_settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.lake import TABLES, Lake

# image and its boats (x, y, width, height)
Scene = tuple[np.ndarray, list[tuple[int, int, int, int]]]
WriteGold = Callable[..., GoldDataset]


def scene(seed: int, *, boats: int, height: int = 128, width: int = 128) -> Scene:
    generator = np.random.default_rng(seed)
    image = generator.normal(60, 10, (height, width, 3))
    boxes = []
    for _ in range(boats):
        w, h = (int(v) for v in generator.integers(14, 30, 2))
        x, y = int(generator.integers(0, width - w)), int(generator.integers(0, height - h))
        image[y : y + h, x : x + w] += 130
        boxes.append((x, y, w, h))
    return image.clip(0, 255).astype(np.uint8), boxes


def row(number: int, split: str, drawn: Scene) -> dict[str, object]:
    image, boxes = drawn
    mask = np.zeros(image.shape[:2], dtype=bool)
    rles = []
    for x, y, w, h in boxes:
        one = np.zeros_like(mask)
        one[y : y + h, x : x + w] = True
        rles.append(rle.encode(one))
        mask |= one
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return {
        "image_id": f"scene-{number}.png",
        "batch_id": "b-1",
        "image": buffer.getvalue(),
        "mask": encode_mask(mask),
        "width": image.shape[1],
        "height": image.shape[0],
        "boat_count": len(boxes),
        "boat_area": int(mask.sum()),
        "boat_areas": [w * h for _, _, w, h in boxes],
        "boat_boxes": [list(box) for box in boxes],
        "boat_rles": rles,
        "brightness": float(image.mean()),
        "contrast": float(image.std()),
        "group_id": f"g-{number}",
        "split": split,
        "sha256": f"{number:064x}",
        "label_version": 0,
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A short training on small crops, in a home of its own."""
    return load_settings(
        home=tmp_path / "home",
        train={
            "crop": 64,
            "batch_size": 4,
            "max_steps": 4,
            "validations": 2,
            "valid_images": 0,
            "decoder_channels": (32, 16, 16, 8, 8),
            "threads": 1,
        },
        tune={
            "trials": 2,
            "steps": 2,
            "validations": 2,
            "valid_images": 16,
            "architectures": ("Unet",),
            "crops": (64,),
        },
    )


@pytest.fixture
def write_gold(settings: Settings) -> WriteGold:
    """Write a gold table with so many (boat, empty) images in each split."""

    def write(**counts: tuple[int, int]) -> GoldDataset:
        lake = Lake.from_settings(settings)
        rows = []
        for split, (with_boats, empty) in counts.items():
            for boats in [2] * with_boats + [0] * empty:
                rows.append(row(len(rows), split, scene(len(rows), boats=boats)))
        schema = TABLES["gold_dataset"].schema
        table = pa.Table.from_pylist(rows, schema=schema)  # columns added since are null
        lake.replace_batch("gold_dataset", "b-1", table)
        return GoldDataset(lake)

    return write


@pytest.fixture
def gold(write_gold: WriteGold) -> GoldDataset:
    return write_gold(train=(10, 4), valid=(3, 2), test=(3, 2))

"""Short real trainings on drawn scenes, for the benchmark of studies: data, settings, curves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
from _common import say

from boatseg_core.config import Settings, load_settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.lake import TABLES, Lake
from boatseg_core.synth import Scene, render_scene
from boatseg_core.training.result import Entry
from boatseg_core.training.study.board import told

SCENES, QUICK_SCENES, SEED, SIDE = 48, 16, 2024, 128
_TILES = 6  # of a scene, with boats; and as many without

_STUDY: dict[str, Any] = {
    "train": {
        "batch_size": 8,
        "decoder_channels": (64, 32, 16, 16, 16),
        "checkpoint_steps": 0,
        "threads": 1,
    },
    "tune": {
        "steps": 48,
        "validations": 6,
        "valid_images": 32,
        "crops": (32, 64),
    },
}
_QUICK = {"steps": 16, "validations": 4, "valid_images": 16}


class Curve(TypedDict):
    """A trial that ran to its end.

    Attributes:
        params: What was drawn for it.
        entries: Its validations; ``cpu`` is the processor time spent so far, in seconds.
    """

    params: dict[str, Any]
    entries: list[Entry]


def settings_of(home: Path, *, quick: bool, **tune: Any) -> Settings:
    """The study's settings: boatseg's own space, but for a narrower decoder and smaller crops."""
    shorter = _QUICK if quick else {}
    return load_settings(
        home=home, train=_STUDY["train"], tune={**_STUDY["tune"], **shorter, **tune}
    )


def make_gold(home: Path, *, quick: bool) -> GoldDataset:
    """Draw the scenes once and keep tiles of them as a gold table; every fourth scene validates."""
    settings = settings_of(home, quick=quick)
    settings.paths.create()
    lake = Lake.from_settings(settings)
    if not lake.exists("gold_dataset"):
        scenes = QUICK_SCENES if quick else SCENES
        say(f"drawing {scenes} scenes")
        rows = [row for number in range(scenes) for row in _rows(number)]
        table = pa.Table.from_pylist(rows, TABLES["gold_dataset"].schema)
        lake.replace_batch("gold_dataset", "b0", table)
    return GoldDataset(lake)


def record(gold: GoldDataset, home: Path, count: int, *, quick: bool) -> list[Curve]:
    """Train ``count`` trials of the space to their end, one after the other, and keep their curves.

    The draws are random and seeded, so a second call goes on where the first was interrupted.
    """
    import optuna

    from boatseg_core.training.fit import fit, resolve
    from boatseg_core.training.study.pruning import objective
    from boatseg_core.training.study.space import digest, suggest, trial_settings

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = settings_of(home, quick=quick)
    base = trial_settings(settings)
    file = home / f"curves-{digest(settings, base, gold.version)}.jsonl"
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=SEED))
    for number in range(count):
        params = suggest(study.ask(), settings)
        if number < len(known):
            continue
        before = time.process_time()
        entries: list[Entry] = []

        def seen(entry: Entry, entries: list[Entry] = entries, before: float = before) -> None:
            entries.append({**entry, "cpu": time.process_time() - before})

        chosen = resolve(settings, {**base.model_dump(), **params})
        fit(gold, settings, chosen, work=home / "work", on_epoch=seen, progress=False)
        known.append({"params": params, "entries": entries})
        with file.open("a") as curves:
            curves.write(json.dumps(known[-1]) + "\n")
        last = entries[-1]
        say(
            f"  trial {number + 1} of {count}: {' '.join(f'{objective(e):+.2f}' for e in entries)}"
            f" ({last['cpu']:.0f} s; {told(params)})"
        )
    return known[:count]


def _rows(number: int) -> Iterator[dict[str, Any]]:
    """Tiles of one scene as rows of gold: with boats and without, as many as can be had."""
    scene = render_scene(SEED, number, empty_share=0.3)
    random = np.random.default_rng([SEED, number])
    height, width, _ = scene.image.shape
    places = [(y, x) for y in range(0, height, SIDE) for x in range(0, width, SIDE)]
    random.shuffle(places)
    boats = np.zeros((height, width), np.uint16)
    for index, instance in enumerate(scene.instances):
        boats[instance.full(height, width)] = index + 1
    left = {True: _TILES, False: _TILES}
    for y, x in places:
        part = boats[y : y + SIDE, x : x + SIDE]
        shown = bool((part > 0).sum() >= 40)
        if (part.any() and not shown) or not left[shown]:
            continue
        left[shown] -= 1
        yield _row(scene, number, y, x, part)


def _row(scene: Scene, number: int, y: int, x: int, part: np.ndarray) -> dict[str, Any]:
    from io import BytesIO

    from PIL import Image

    boxes, areas = [], []
    for index in np.unique(part[part > 0]):
        rows, columns = np.nonzero(part == index)
        boxes.append(
            [
                int(columns.min()),
                int(rows.min()),
                int(np.ptp(columns)) + 1,
                int(np.ptp(rows)) + 1,
            ]
        )
        areas.append(len(rows))
    out = BytesIO()
    Image.fromarray(scene.image[y : y + SIDE, x : x + SIDE]).save(out, "JPEG", quality=90)
    return {
        "image_id": f"{number:03}-{y:04}-{x:04}.jpg",
        "batch_id": "b0",
        "image": out.getvalue(),
        "mask": encode_mask(part > 0),
        "width": part.shape[1],
        "height": part.shape[0],
        "boat_count": len(areas),
        "boat_area": sum(areas),
        "boat_areas": areas,
        "boat_boxes": boxes,
        "group_id": f"{number:03}",
        "split": "valid" if number % 4 == 3 else "train",
    }

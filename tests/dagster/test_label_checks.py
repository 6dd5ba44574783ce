"""The checks on labels, run by Dagster on batches that deserve them."""

from __future__ import annotations

import json

import dagster as dg
import numpy as np
import pytest
from support.batches import changed
from support.pictures import drop, encoded, texture
from support.ticks import execute

from boatseg_core.config import Settings
from boatseg_core.imaging import rle
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake
from boatseg_dagster.resources import Boatseg

WARN = dg.AssetCheckSeverity.WARN
SIDE = 128


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings.images_folder.mkdir(parents=True, exist_ok=True)
    return changed(settings, "seal", max_files=1000)


def box(x: int, y: int, w: int, h: int) -> str:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[y : y + h, x : x + w] = True
    return rle.encode(mask)


def arrive(lake: Lake, settings: Settings, prefix: str, count: int) -> tuple[str, list[str]]:
    names = [f"{prefix}-{i:03}.jpg" for i in range(count)]
    for i, name in enumerate(names):
        picture = texture(1000 * ord(prefix) + i, SIDE, SIDE)
        drop(settings.images_folder, name, encoded(picture))
    (batch,) = seal(lake, settings).batches
    return batch, names


def label(settings: Settings, file: str, rows: list[tuple[str, str]]) -> None:
    text = "\n".join(["ImageId,EncodedPixels", *(f"{name},{cell}" for name, cell in rows)])
    drop(settings.paths.landing, file, text.encode())


def run(
    instance: dg.DagsterInstance, boatseg: Boatseg, batch: str
) -> dict[str, dg.AssetCheckEvaluation]:
    loaded = execute(instance, boatseg, "load_labels")
    instance.add_dynamic_partitions("batches", [batch])
    done = execute(instance, boatseg, "ingest_batch", batch)
    assert loaded.success
    assert done.success  # no check of labels blocks
    both = [*loaded.get_asset_check_evaluations(), *done.get_asset_check_evaluations()]
    return {check.asset_check_key.name: check for check in both}


def boats(names: list[str], seed: int, size: int) -> list[tuple[str, str]]:
    """No boat in half of the images; in the others one or two of about that size."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, name in enumerate(names):
        if i % 2:
            rows.append((name, ""))
        for number in range(0 if i % 2 else 1 + i % 4 // 2):
            w, h = rng.integers(size - 3, size + 4, 2).tolist()
            rows.append((name, box(5 + 50 * number, int(rng.integers(90)), w, h)))
    return rows


def test_usual_labels_pass_and_unusual_ones_warn(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    batch, names = arrive(lake, settings, "a", 32)
    label(settings, "a.csv", boats(names, 1, 20))
    first = run(instance, boatseg, batch)
    for name in ("label_files_are_usable", "images_have_labels", "label_files_agree"):
        assert first[name].passed, first[name].description
    assert "not judged" in str(first["objects_are_usual"].description)
    assert first["splits_are_balanced"].passed

    batch, names = arrive(lake, settings, "b", 32)
    label(settings, "b.csv", boats(names, 2, 20))
    assert run(instance, boatseg, batch)["objects_are_usual"].passed

    batch, names = arrive(lake, settings, "c", 32)
    label(settings, "c.csv", [(name, box(3, 3, 60 + i % 7, 60)) for i, name in enumerate(names)])
    unusual = run(instance, boatseg, batch)["objects_are_usual"]
    assert (unusual.passed, unusual.severity) == (False, WARN)
    assert "boat_count is 0.5" in str(unusual.description)
    assert "boat_area is 1.00 away" in str(unusual.description)
    assert {"chart/boat_count", "chart/boat_area"} <= set(unusual.metadata)


def test_missing_and_contradicting_labels_warn_with_examples(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    batch, names = arrive(lake, settings, "a", 20)
    checks = run(instance, boatseg, batch) if settings.labels_path.is_file() else {}
    assert checks == {}
    label(settings, "one.csv", [(name, box(3, 3, 20, 20)) for name in names[:18]])
    label(settings, "two.csv", [(names[0], box(80, 80, 20, 20)), (names[1], box(3, 3, 20, 21))])
    dangling = {
        "images": [],
        "annotations": [{"image_id": 9, "segmentation": [[1, 2, 3, 4, 5, 6]]}],
    }
    drop(settings.paths.landing, "three.json", json.dumps(dangling).encode())
    drop(settings.paths.landing, "weather.csv", b"date,wind\n1,2\n")
    checks = run(instance, boatseg, batch)

    missing = checks["images_have_labels"]
    assert (missing.passed, missing.severity) == (False, WARN)
    assert "2 of 20 images (10.0%) have no label" in str(missing.description)
    assert missing.metadata["examples"].value == names[18:]

    conflict = checks["label_files_agree"]
    assert (conflict.passed, conflict.severity) == (False, WARN)
    assert conflict.metadata["conflicts"].value == 1  # an overlap of 20/21 is none
    assert f"{names[0]}: one.csv" in str(conflict.metadata["examples"].value)

    files = checks["label_files_are_usable"]
    assert (files.passed, files.severity) == (False, WARN)
    assert files.metadata["dangling_image"].value == files.metadata["unusable_file"].value == 1
    assert "2 issues in 2 label files" in str(files.description)


def test_without_any_label_nothing_is_missing(
    instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    batch, _ = arrive(lake, settings, "a", 3)
    instance.add_dynamic_partitions("batches", [batch])
    done = execute(instance, boatseg, "ingest_batch", batch)
    checks = {c.asset_check_key.name: c for c in done.get_asset_check_evaluations()}
    assert checks["images_have_labels"].description == "no label file was read yet"
    assert all(check.passed for check in checks.values())

"""Labels that come late, or are corrected: exactly the batches with their images are rebuilt."""

from __future__ import annotations

import random
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from support.batches import changed, finish
from support.pictures import drop, encoded, texture
from support.ticks import execute, requests, said, tick

from boatseg_core.cli.root import root
from boatseg_core.config import Settings
from boatseg_core.ingest.seal import seal
from boatseg_core.labels.ingest import load
from boatseg_core.lake import Lake
from boatseg_dagster.resources import Boatseg

BATCHES, IMAGES = 20, 4
REBUILT = ("label_issues", "rasterized_masks", "gold_dataset")
KEPT = ("files", "raw_images", "quarantine", "image_quality", "image_groups")


def names() -> list[str]:
    return [f"{number:03}.jpg" for number in range(BATCHES * IMAGES)]


def write_labels(settings: Settings, cells: dict[str, str]) -> None:
    text = "\n".join(["ImageId,EncodedPixels", *(f"{n},{c}" for n, c in cells.items()), ""])
    drop(settings.paths.landing, "labels.csv", text.encode())


def data_files(lake: Lake, name: str) -> dict[str, set[str]]:
    """Paths of a table's data files, by batch."""
    found: dict[str, set[str]] = {}
    for uri in lake.table(name).file_uris():
        (batch,) = [part[9:] for part in Path(uri).parts if part.startswith("batch_id=")]
        found.setdefault(batch, set()).add(uri)
    return found


@pytest.fixture
def gold(settings: Settings, lake: Lake) -> tuple[list[str], dict[str, str]]:
    """Twenty batches in gold; the batches, and the cell of each image."""
    small = changed(settings, "seal", max_files=IMAGES)
    settings.images_folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names()):
        drop(settings.images_folder, name, encoded(texture(number, 128, 128)))
    cells = {name: f"{100 + number} 5" for number, name in enumerate(names())}
    write_labels(settings, cells)
    load(lake, small)
    batches = list(seal(lake, small).batches)
    for batch in batches:
        finish(lake, batch, small)
    assert len(batches) == BATCHES
    return batches, cells


def correct(settings: Settings, cells: dict[str, str], number: int) -> list[str]:
    """Change the rows of three images of one batch; their names."""
    touched = names()[number * IMAGES : number * IMAGES + 3]
    for name in touched:
        cells[name] = "7 9"
    write_labels(settings, cells)
    return touched


def state(lake: Lake) -> tuple[dict[str, dict[str, set[str]]], dict[str, int | None]]:
    files = {name: data_files(lake, name) for name in REBUILT if lake.exists(name)}
    return files, {name: lake.version(name) for name in KEPT}


def assert_only(
    lake: Lake,
    before: tuple[dict[str, dict[str, set[str]]], dict[str, int | None]],
    batch: str,
    touched: list[str],
) -> None:
    files, versions = state(lake)
    assert versions == before[1]  # nothing was read from the source, judged or grouped again
    for name in ("rasterized_masks", "gold_dataset"):
        rewritten = {b for b in files[name] if files[name][b] != before[0][name].get(b)}
        assert rewritten == {batch}, name
    for name in ("rasterized_masks", "gold_dataset"):
        rows = lake.read(name, ["image_id", "boat_areas", "label_version"], batch_id=batch)
        areas = {row["image_id"]: row["boat_areas"] for row in rows.iter_rows(named=True)}
        assert {image for image, area in areas.items() if area == [9]} == set(touched)
        assert len(areas) == IMAGES
    everything = lake.read("gold_dataset", ["image_id", "boat_area"])
    assert everything.height == BATCHES * IMAGES
    assert everything.filter(everything["boat_area"] == 5).height == BATCHES * IMAGES - 3


def test_the_sensor_asks_for_the_touched_batch_alone(
    gold: tuple[list[str], dict[str, str]],
    instance: dg.DagsterInstance,
    boatseg: Boatseg,
    settings: Settings,
    lake: Lake,
) -> None:
    batches, cells = gold
    instance.add_dynamic_partitions("batches", batches)
    assert "0 batches outstanding" in said(tick(instance, boatseg))
    number = random.Random(3).randrange(BATCHES)
    touched = correct(settings, cells, number)
    for name in names():  # the pictures themselves are gone: no run can need them
        (settings.images_folder / name).unlink()

    assert requests(tick(instance, boatseg)) == [("load_labels", None)]
    assert execute(instance, boatseg, "load_labels").success
    before = state(lake)
    # The file was written anew as a whole: every image has a newer row, but three say otherwise.
    asked = requests(tick(instance, boatseg))
    assert asked == [("rebuild_labels", batches[number])]
    assert execute(instance, boatseg, "rebuild_labels", batches[number]).success
    assert_only(lake, before, batches[number], touched)
    assert "0 batches outstanding" in said(tick(instance, boatseg))


def test_boatseg_ingest_rebuilds_the_touched_batch_alone(
    gold: tuple[list[str], dict[str, str]], settings: Settings, lake: Lake
) -> None:
    batches, cells = gold
    touched = correct(settings, cells, 11)
    before = state(lake)
    result = CliRunner().invoke(root, ["ingest", "--home", str(settings.paths.root)])
    assert result.exit_code == 0, result.output
    assert_only(lake, before, batches[11], touched)

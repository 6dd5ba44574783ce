"""A changed criterion shows in Dagster as stale partitions, and a run makes them fresh."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleCauseCategory,
    StaleStatus,
)
from dagster._core.loader import LoadingContextForTest
from support.batches import label
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings
from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake
from boatseg_dagster.definitions import build_defs
from boatseg_dagster.resources import Boatseg

QUALITY, GOLD = dg.AssetKey("image_quality"), dg.AssetKey("gold_dataset")


@pytest.fixture
def batch(instance: dg.DagsterInstance, boatseg: Boatseg, settings: Settings, lake: Lake) -> str:
    """A batch that has been through the whole job."""
    for i in range(3):
        drop(settings.images_folder, f"{i}.jpg", encoded(texture(i)))
    label(settings, "0.jpg", "1.jpg", "2.jpg")
    (batch,) = seal(lake, settings).batches
    instance.add_dynamic_partitions("batches", [batch])
    load = build_defs(boatseg).resolve_job_def("load_labels")
    assert load.execute_in_process(instance=instance).success
    execute(instance, boatseg, "ingest_batch", batch)
    return batch


def execute(instance: dg.DagsterInstance, boatseg: Boatseg, job: str, batch: str) -> None:
    definition = build_defs(boatseg).resolve_job_def(job)
    assert definition.execute_in_process(instance=instance, partition_key=batch).success


def state(
    instance: dg.DagsterInstance, boatseg: Boatseg, key: dg.AssetKey, batch: str
) -> tuple[StaleStatus, list[StaleCauseCategory]]:
    """What the UI would show for a partition after its definitions were reloaded."""

    async def ask() -> tuple[StaleStatus, list[StaleCauseCategory]]:
        resolver = CachingStaleStatusResolver(
            instance,
            build_defs(boatseg).resolve_asset_graph(),
            LoadingContextForTest(instance),
        )
        causes = resolver.get_stale_causes(key, batch)
        return resolver.get_status(key, batch), [cause.category for cause in causes]

    return asyncio.run(ask())


def set_quality(home: Path, text: str) -> None:
    file = home / "boatseg.toml"
    file.write_text(file.read_text().partition("[quality]")[0] + f"[quality]\n{text}\n")


def test_a_changed_criterion_makes_partitions_stale_and_a_run_makes_them_fresh(
    instance: dg.DagsterInstance, boatseg: Boatseg, home: Path, lake: Lake, batch: str
) -> None:
    assert state(instance, boatseg, QUALITY, batch) == (StaleStatus.FRESH, [])
    assert state(instance, boatseg, GOLD, batch)[0] is StaleStatus.FRESH

    # A threshold of the checks changes no verdict.
    set_quality(home, "min_pass_rate = 0.5\nmax_duplicate_share = 0.5")
    assert state(instance, boatseg, QUALITY, batch) == (StaleStatus.FRESH, [])

    set_quality(home, "min_brightness = 200.0")
    assert state(instance, boatseg, QUALITY, batch) == (
        StaleStatus.STALE,
        [StaleCauseCategory.CODE],
    )
    images, gold = lake.version("raw_images"), lake.version("gold_dataset")
    execute(instance, boatseg, "requalify_batch", batch)

    assert state(instance, boatseg, QUALITY, batch) == (StaleStatus.FRESH, [])
    assert state(instance, boatseg, GOLD, batch)[0] is StaleStatus.FRESH
    assert not lake.read("image_quality")["passed"].any()
    assert lake.version("raw_images") == images
    assert lake.version("gold_dataset") != gold and lake.count("gold_dataset") == 0

    # Where the same images pass, the pictures of gold are not copied again.
    set_quality(home, "min_brightness = 201.0")
    gold = lake.version("gold_dataset")
    execute(instance, boatseg, "requalify_batch", batch)
    assert lake.version("gold_dataset") == gold
    assert state(instance, boatseg, GOLD, batch)[0] is StaleStatus.FRESH
    assert outdated_batches(lake, boatseg.settings()) == {}


def test_definitions_load_while_the_settings_are_wrong(boatseg: Boatseg, home: Path) -> None:
    """Or there would be no UI in which the sensor could say what is wrong with them."""
    set_quality(home, "min_brightness = 'dark'")

    definitions = build_defs(boatseg)

    assert QUALITY in definitions.resolve_asset_graph().get_all_asset_keys()

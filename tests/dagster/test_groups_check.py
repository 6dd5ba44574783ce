from __future__ import annotations

from types import SimpleNamespace

import dagster as dg
import polars as pl
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings
from boatseg_core.dataset.groups import group_batch
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake
from boatseg_dagster.checks.groups import no_pixels_in_two_splits
from boatseg_dagster.resources import Boatseg


def test_an_overlap_across_splits_is_shown_on_its_batch(
    boatseg: Boatseg, settings: Settings, lake: Lake
) -> None:
    place = texture(1, 512, 768)
    drop(settings.images_folder, "a.jpg", encoded(place[:, :512]))
    drop(settings.images_folder, "b.jpg", encoded(place[:, 256:], quality=80))
    (batch,) = seal(lake, settings).batches
    ingest_batch(lake, batch, settings)
    group_batch(lake, batch, settings)

    assert checked(boatseg, batch).passed
    rows = lake.read("image_groups", batch_id=batch)
    moved = pl.when(pl.col("image_id") == "b.jpg").then(pl.lit("test")).otherwise(pl.lit("train"))
    lake.replace_batch("image_groups", batch, rows.with_columns(split=moved))

    found = checked(boatseg, batch)
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.metadata["pairs"].value == 1
    assert found.metadata["examples"].value == ["a.jpg (train) and b.jpg (test)"]


def checked(boatseg: Boatseg, batch: str) -> dg.AssetCheckResult:
    """Ask the check alone: a run of its asset would give the images their splits again."""
    ask = no_pixels_in_two_splits.op.compute_fn.decorated_fn
    found = ask(SimpleNamespace(partition_key=batch), boatseg)
    assert isinstance(found, dg.AssetCheckResult)
    return found

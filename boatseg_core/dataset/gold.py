"""Join image and mask into ``gold_dataset``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from boatseg_core.lake import TABLES, Lake

# One picture of 768x768 is some 130 kB: 64 rows are 8 MB in flight.
_ROWS = 64
_FROM_MASK = (
    "boat_count",
    "boat_area",
    "boat_areas",
    "boat_boxes",
    "boat_centroids",
    "boat_orientations",
    "boat_rles",
    "label_version",
)


@dataclass(frozen=True)
class GoldSummary:
    """Result of building one batch of gold.

    Attributes:
        rows: Rows written.
        boats: Objects in them.
        splits: Number of rows by split.
        left_out: Number of images of the batch that are not in gold, by reason.
        version: Delta version of ``gold_dataset``.
    """

    rows: int
    boats: int
    splits: dict[str, int]
    left_out: dict[str, int]
    version: int


def build_gold(
    lake: Lake, batch_id: str, *, versions: Mapping[str, int] | None = None
) -> GoldSummary:
    """Join a batch's images, masks, verdicts and groups, and replace the batch in gold.

    The narrow side is decided first; pictures are then streamed once, in small batches.

    Args:
        lake: The lake.
        batch_id: The batch.
        versions: Delta versions to read ``raw_images``, ``image_quality``, ``rasterized_masks``
            and ``image_groups`` at; by default the newest.
    """
    pinned = dict(versions or {})
    plan = _plan(lake, batch_id, pinned)
    chosen = plan.filter(pl.col("left_out").is_null())
    masks = lake.read(
        "rasterized_masks",
        ["image_id", "mask"],
        batch_id=batch_id,
        version=pinned.get("rasterized_masks"),
    )
    facts = {
        row["image_id"]: row
        for row in chosen.join(masks, on="image_id", how="inner").iter_rows(named=True)
    }
    schema = TABLES["gold_dataset"].schema
    stream = _rows(lake, batch_id, pinned.get("raw_images"), facts, schema)
    version = lake.replace_batch(
        "gold_dataset", batch_id, pa.RecordBatchReader.from_batches(schema, stream)
    )
    return GoldSummary(
        rows=len(facts),
        boats=sum(row["boat_count"] for row in facts.values()),
        splits=dict(chosen["split"].value_counts().sort("split").iter_rows()),
        left_out=dict(plan["left_out"].drop_nulls().value_counts().sort("left_out").iter_rows()),
        version=version,
    )


IDENTITY = ("image_id", "batch_id", "sha256", "label_version", "group_id", "split")
"""Columns that say which picture, mask and split a row of gold was made from."""


def expected_rows(lake: Lake) -> pl.LazyFrame:
    """List what belongs in gold by the newest silver tables: the columns of ``IDENTITY``."""
    keys = ["image_id", "batch_id"]
    newest = lake.scan("files").group_by("image_id").agg(newest=pl.col("batch_id").max())
    return (
        lake.scan("rasterized_masks")
        .filter(pl.col("rejected_rows") == 0)
        .select(*keys, "label_version")
        .join(lake.scan("image_quality").filter("passed").select(keys), on=keys, how="semi")
        .join(lake.scan("raw_images").select(*keys, "sha256"), on=keys)
        .join(lake.scan("image_groups").select(*keys, "group_id", "split"), on=keys)
        .join(newest, on="image_id")
        .filter(pl.col("batch_id") == pl.col("newest"))
        .select(IDENTITY)
    )


def _plan(lake: Lake, batch_id: str, pinned: Mapping[str, int]) -> pl.DataFrame:
    """Decide for every image of the batch whether it goes to gold, and if not, why."""

    def read(name: str, columns: list[str]) -> pl.DataFrame:
        return lake.read(name, ["image_id", *columns], batch_id=batch_id, version=pinned.get(name))

    newer = (
        lake.scan("files")
        .filter(pl.col("batch_id") > batch_id)
        .select("image_id", superseded=pl.lit(True))
        .unique("image_id")
        .collect()
    )
    images = read("raw_images", ["width", "height", "brightness", "contrast", "sha256"])
    masks = read("rasterized_masks", ["rejected_rows", *_FROM_MASK])
    sizes = read("rasterized_masks", ["width", "height"]).rename(
        {"width": "mask_width", "height": "mask_height"}
    )
    return (
        images.join(read("image_quality", ["passed"]), on="image_id", how="left")
        .join(masks, on="image_id", how="left")
        .join(sizes, on="image_id", how="left")
        .join(read("image_groups", ["group_id", "split"]), on="image_id", how="left")
        .join(newer, on="image_id", how="left")
        .with_columns(
            left_out=pl.when(pl.col("superseded"))
            .then(pl.lit("superseded"))
            .when(~pl.col("passed").fill_null(False))
            .then(pl.lit("quality"))
            .when(pl.col("boat_count").is_null())
            .then(pl.lit("unlabelled"))
            .when(pl.col("rejected_rows") > 0)
            .then(pl.lit("mask_rows_rejected"))
            .when(
                (pl.col("width") != pl.col("mask_width"))
                | (pl.col("height") != pl.col("mask_height"))
            )
            .then(pl.lit("mask_of_other_size"))
            .when(pl.col("split").is_null())
            .then(pl.lit("no_group"))
        )
    )


def _rows(
    lake: Lake,
    batch_id: str,
    version: int | None,
    facts: dict[str, dict[str, Any]],
    schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    for batch in lake.batches(
        "raw_images", ["image_id", "image"], batch_id=batch_id, version=version, rows=_ROWS
    ):
        rows = [
            facts[image_id] | {"image": image, "batch_id": batch_id}
            for image_id, image in zip(
                batch["image_id"].to_pylist(), batch["image"].to_pylist(), strict=True
            )
            if image_id in facts
        ]
        if rows:
            yield pa.RecordBatch.from_pylist(
                [{name: row[name] for name in schema.names} for row in rows], schema=schema
            )

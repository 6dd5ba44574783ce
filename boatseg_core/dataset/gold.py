"""Join image and mask into ``gold_dataset``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from boatseg_core.lake import TABLES, Lake

# One picture of 768x768 is some 130 kB: 64 rows are 8 MB in flight.
_ROWS = 64
_SCHEMA = TABLES["gold_dataset"].schema
_MASK_SIZE = {"width": "mask_width", "height": "mask_height"}
_KEYS = ("image_id", "batch_id")
# What gold takes over from the masks under the same name: counts, shapes, the label version.
_FROM_MASK = tuple(
    name
    for name in TABLES["rasterized_masks"].narrow
    if name in _SCHEMA.names and name not in (*_KEYS, *_MASK_SIZE)
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
    lake: Lake,
    batch_id: str,
    *,
    versions: Mapping[str, int] | None = None,
    keep_same: bool = False,
) -> GoldSummary:
    """Join a batch's images, masks, verdicts and groups, and replace the batch in gold.

    The narrow side (masks are a kilobyte each) is decided first; pictures are then streamed once,
    in small batches.

    Args:
        lake: The lake.
        batch_id: The batch.
        versions: Delta versions to read ``raw_images``, ``image_quality``, ``rasterized_masks``
            and ``image_groups`` at; by default the newest.
        keep_same: Write nothing if the batch's gold has the ``IDENTITY`` of every row that belongs
            there: copying a gigabyte of pictures only since they were judged again is a waste.
    """
    pinned = dict(versions or {})
    plan = _plan(lake, batch_id, pinned)
    chosen = plan.filter(pl.col("left_out").is_null())
    version = _same(lake, batch_id, chosen) if keep_same else None
    if version is None:
        stream = _rows(lake, batch_id, pinned.get("raw_images"), _facts(chosen))
        version = lake.replace_batch(
            "gold_dataset", batch_id, pa.RecordBatchReader.from_batches(_SCHEMA, stream)
        )
    return GoldSummary(
        rows=chosen.height,
        boats=int(chosen["boat_count"].sum()),
        splits=dict(chosen["split"].value_counts().sort("split").iter_rows()),
        left_out=dict(plan["left_out"].drop_nulls().value_counts().sort("left_out").iter_rows()),
        version=version,
    )


IDENTITY = ("image_id", "batch_id", "sha256", "label_version", "group_id", "split")
"""Columns that say which picture, mask and split a row of gold was made from."""


def expected_rows(lake: Lake) -> pl.LazyFrame:
    """List what belongs in gold by the newest silver tables: the columns of ``IDENTITY``."""
    keys, sizes = ["image_id", "batch_id"], ["width", "height"]
    newest = lake.scan("files").group_by("image_id").agg(newest=pl.col("batch_id").max())
    return (
        lake.scan("rasterized_masks")
        .filter(pl.col("rejected_rows") == 0)
        .select(*keys, *sizes, "label_version")
        .join(lake.scan("image_quality").filter("passed").select(keys), on=keys, how="semi")
        .join(lake.scan("raw_images").select(*keys, *sizes, "sha256"), on=[*keys, *sizes])
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
    masks = read("rasterized_masks", ["mask", "rejected_rows", *_FROM_MASK, *_MASK_SIZE])
    return (
        images.join(
            read("image_quality", ["passed", "criteria", "duplicate_of"]), on="image_id", how="left"
        )
        .join(masks.rename(_MASK_SIZE), on="image_id", how="left")
        .join(read("image_groups", ["group_id", "split"]), on="image_id", how="left")
        .join(newer, on="image_id", how="left")
        .with_columns(
            batch_id=pl.lit(batch_id),
            passed=pl.col("passed").fill_null(False),
            labelled=pl.col("boat_count").is_not_null(),
        )
        .with_columns(
            left_out=pl.when(pl.col("superseded"))
            .then(pl.lit("superseded"))
            .when(pl.col("duplicate_of").is_not_null())
            .then(pl.lit("duplicate"))
            .when(~pl.col("passed"))
            .then(pl.lit("quality"))
            .when(~pl.col("labelled"))
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


def _same(lake: Lake, batch_id: str, chosen: pl.DataFrame) -> int | None:
    """Version of gold that already has exactly the chosen rows for the batch, if it does."""
    version = lake.version("gold_dataset")
    if version is None:
        return None
    there = lake.read("gold_dataset", IDENTITY, batch_id=batch_id, version=version)
    wanted = chosen.select(IDENTITY)
    return version if wanted.sort(IDENTITY).equals(there.sort(IDENTITY)) else None


def _facts(chosen: pl.DataFrame) -> pa.Table:
    """Every column of gold but the picture, in the table's own types."""
    schema = pa.schema([field for field in _SCHEMA if field.name != "image"])
    return chosen.select(schema.names).to_arrow().cast(schema).combine_chunks()


def _rows(
    lake: Lake, batch_id: str, version: int | None, facts: pa.Table
) -> Iterator[pa.RecordBatch]:
    """Put the pictures beside their facts; a picture is never a Python object."""
    names = facts["image_id"].combine_chunks()
    for batch in lake.batches(
        "raw_images", ["image_id", "image"], batch_id=batch_id, version=version, rows=_ROWS
    ):
        at = pc.index_in(batch["image_id"], value_set=names)
        image = batch["image"]
        if at.null_count:
            image, at = image.filter(at.is_valid()), at.drop_null()
        if len(at):
            (narrow,) = facts.take(at).combine_chunks().to_batches()
            columns = [image if name == "image" else narrow[name] for name in _SCHEMA.names]
            yield pa.record_batch(columns, schema=_SCHEMA)

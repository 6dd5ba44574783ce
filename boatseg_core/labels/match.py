"""Which label rows are meant for which image, and which of them are in force."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from boatseg_core.lake import Lake

_NAME = pl.col("image_id").str.split("/").list.last().alias("name")


def newest_labels(lake: Lake, versions: Mapping[str, int] | None = None) -> pl.DataFrame:
    """Find the newest label version of every image name, from narrow columns alone.

    Rows count once their file is in the ledger. A later file supersedes an earlier one image by
    image; what it does not mention stays.

    Args:
        lake: The lake.
        versions: Delta versions to pin, by table.

    Returns:
        ``label_id`` (image name as labels have it), ``label_version``, ``source_file``.
    """
    pins = versions or {}
    ledger = lake.scan("label_files", pins.get("label_files")).select(
        "label_version", pl.col("path").str.extract(r"([^/\\]+)$").alias("source_file")
    )
    return (
        lake.scan("raw_masks", pins.get("raw_masks"))
        .select(pl.col("image_id").alias("label_id"), "label_version", "source_file")
        .unique()
        .join(ledger.unique(), on=["label_version", "source_file"], how="semi")
        # Two processes that race with two files can give both one number: the name decides then.
        .sort("label_version", "source_file")
        .group_by("label_id")
        .last()
        .collect()
    )


def known_images(lake: Lake, versions: Mapping[str, int] | None = None) -> pl.DataFrame:
    """List every image that ever arrived, readable or not.

    Returns:
        ``image_id`` and ``name``, its last path component; one row an image.
    """
    pins = versions or {}
    tables = ("files", "raw_images")
    return (
        pl.concat([lake.scan(t, pins.get(t)).select("image_id") for t in tables])
        .unique()
        .with_columns(_NAME)
        .collect()
    )


def match(images: pl.DataFrame, labels: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Give every image its label: by its full name, else by its file name where that is unique.

    Args:
        images: Images to match, with ``image_id``.
        labels: As :func:`newest_labels` returns it.
        known: As :func:`known_images` returns it.

    Returns:
        ``images`` with ``label_id``, ``label_version`` and ``source_file`` (null without a label)
        and ``ambiguous``: labels for the file name exist, but several images carry it.
    """
    shared = known.group_by("name").agg(
        # A label that is the full name of one image is meant for that image alone.
        (pl.col("image_id") == pl.col("name")).any().alias("owned"),
        pl.len().alias("images"),
    )
    by_name = labels.rename({c: f"{c}_by_name" for c in labels.columns})
    usable = ~pl.col("owned") & (pl.col("images") == 1)
    columns = ("label_id", "label_version", "source_file")
    return (
        images.with_columns(_NAME)
        .join(labels.with_columns(image_id=pl.col("label_id")), on="image_id", how="left")
        .join(by_name, left_on="name", right_on="label_id_by_name", how="left", coalesce=False)
        .join(shared, on="name", how="left")
        .with_columns(
            ambiguous=pl.col("label_id").is_null()
            & pl.col("label_id_by_name").is_not_null()
            & ~pl.col("owned")
            & (pl.col("images") > 1),
            **{c: pl.coalesce(c, pl.when(usable).then(pl.col(f"{c}_by_name"))) for c in columns},
        )
        .select(*images.columns, *columns, "ambiguous")
    )

"""Questions that gold must be able to answer with an empty list."""

from __future__ import annotations

import polars as pl
import pyarrow.compute as pc

from boatseg_core.dataset.groups import EXCLUDED
from boatseg_core.dataset.overlap import TileGrid, overlapping_images
from boatseg_core.lake import Lake

_KEYS = ["image_id", "batch_id"]


def incomplete_gold_rows(lake: Lake, batch_id: str) -> list[str]:
    """Names of a batch's gold rows that lack image or mask bytes, a passed verdict or a label.

    Streamed. Rows that an older boatseg wrote do not say whether they passed and are labelled: they
    are not held to it.
    """
    names: list[str] = []
    columns = ["image_id", "image", "mask", "passed", "labelled"]
    for rows in lake.batches("gold_dataset", columns, batch_id=batch_id):
        empty = pc.or_(
            pc.less(pc.fill_null(pc.binary_length(rows["image"]), 0), 1),
            pc.less(pc.fill_null(pc.binary_length(rows["mask"]), 0), 1),
        )
        admitted = pc.and_(*(pc.fill_null(rows[name], True) for name in ("passed", "labelled")))
        names += rows.filter(pc.or_(empty, pc.invert(admitted)))["image_id"].to_pylist()
    return sorted(names)


def leaking_groups(lake: Lake) -> list[str]:
    """Groups of overlapping images that are in more than one of train, valid and test."""
    frame = (
        lake.scan("gold_dataset")
        .filter(pl.col("split") != EXCLUDED)
        .group_by("group_id")
        .agg(pl.col("split").n_unique())
        .filter(pl.col("split") > 1)
        .select("group_id")
        .collect()
    )
    return frame["group_id"].sort().to_list()


def overlapping_splits(lake: Lake, batch_id: str | None = None) -> pl.DataFrame:
    """List pairs of images that share pixels across train, valid and test.

    Groups are found as batches arrive, so this should be empty; it asks the pixels again, all of
    them, without believing the groups.

    Args:
        lake: The lake.
        batch_id: Only pairs with an image of this batch: one pass over the fingerprints instead of
            one for every thousand images or so.

    Returns:
        ``image_id``, ``batch_id``, ``split`` of both, the second with the ending ``_2``; sorted.
    """
    places = lake.scan("image_groups").filter(pl.col("split") != EXCLUDED)
    images = (
        lake.scan("raw_images")
        .select(*_KEYS, "width", "tiles")
        .join(places.select(*_KEYS, "split"), on=_KEYS)
        .collect()
        .sort(pl.col("batch_id") == (batch_id or ""), "batch_id", "image_id")
    )
    first = 0 if batch_id is None else int((images["batch_id"] != batch_id).sum())
    pairs = overlapping_images(TileGrid.of(images), first)
    named = images.select(*_KEYS, "split")
    one, other = named[pairs[:, 0]], named[pairs[:, 1]]
    both = pl.concat([one, other.rename(lambda name: f"{name}_2")], how="horizontal")
    return both.filter(pl.col("split") != pl.col("split_2")).sort(both.columns)

"""Questions that gold must be able to answer with an empty list."""

from __future__ import annotations

import polars as pl
import pyarrow.compute as pc

from boatseg_core.dataset.groups import EXCLUDED
from boatseg_core.lake import Lake


def incomplete_gold_rows(lake: Lake, batch_id: str) -> list[str]:
    """Names of a batch's gold rows with no image or no mask bytes; streamed."""
    names: list[str] = []
    for rows in lake.batches("gold_dataset", ["image_id", "image", "mask"], batch_id=batch_id):
        empty = pc.or_(
            pc.less(pc.fill_null(pc.binary_length(rows["image"]), 0), 1),
            pc.less(pc.fill_null(pc.binary_length(rows["mask"]), 0), 1),
        )
        names += rows.filter(empty)["image_id"].to_pylist()
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

"""A page of predictions drawn over images, against the truth where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from boatseg_core.gallery.page import write_page
from boatseg_core.gallery.query import cards_from_frame
from boatseg_core.lake import Lake

_KEYS = ["image_id", "batch_id"]


def write_predictions_page(
    lake: Lake,
    path: Path,
    *,
    title: str,
    summary: Mapping[str, object] | None = None,
    class_name: str = "boat",
    limit: int = 120,
) -> Path:
    """Write the page: held-out images with objects first, then unlabelled ones, then the rest.

    Args:
        lake: The lake, with ``predictions``.
        path: The HTML file.
        title: Heading of the page.
        summary: Figures shown above the pictures.
        class_name: What one object is called.
        limit: Most pictures.

    Returns:
        The file's absolute path.
    """
    chosen = _choose(lake, limit)
    ids, batches = chosen["image_id"].to_list(), chosen["batch_id"].unique().to_list()
    images = lake.pick("raw_images", ["image"], ids, batch_ids=batches)
    masks = lake.pick("gold_dataset", ["mask"], ids, batch_ids=batches)
    frame = (
        chosen.join(images, on=_KEYS, how="inner", maintain_order="left")
        .join(masks, on=_KEYS, how="left", maintain_order="left")
        .drop("batch_id", "seen", "objects")
    )
    return write_page(
        path,
        title,
        cards_from_frame(frame),
        summary=summary,
        class_name=class_name,
        count=frame.height,
    )


def _choose(lake: Lake, limit: int) -> pl.DataFrame:
    """Images the model has not trained on come first: only they say how good it is."""
    gold = lake.scan("gold_dataset").select(*_KEYS, "split", labelled="boat_count")
    scored = lake.scan("predictions").select(
        *_KEYS, "boat_rles", predicted="boat_count", best_score=pl.col("boat_scores").list.max()
    )
    seen = pl.col("split").is_in(["train", "valid", "excluded"]).fill_null(False)
    return (
        scored.join(gold, on=_KEYS, how="left")
        .with_columns(
            pl.col("split").fill_null("unlabelled"),
            seen=seen,
            objects=pl.col("labelled").fill_null(0),
        )
        .sort("seen", "objects", "predicted", "image_id", descending=[False, True, True, False])
        .head(limit)
        .collect()
    )

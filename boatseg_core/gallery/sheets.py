"""Small contact sheets of a batch as Markdown, for places where people look before they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.imaging.overlay import (
    PREDICTION,
    TRUTH,
    Colour,
    Pixels,
    contact_sheet,
    draw_comparison,
    draw_overlay,
    jpeg_uri,
    markdown_image,
    shrink_mask,
    thumbnail,
    to_jpeg,
)
from boatseg_core.imaging.rle import BoolMask
from boatseg_core.lake import Lake

PICTURES = 8
_SIDE = 224  # px, side of one picture on a sheet
_MAX_BYTES = 120_000  # a row of the event log, shown inline


def images_sheet(lake: Lake, batch_id: str, *, version: int | None = None) -> str:
    """Show some images of a batch of ``raw_images``.

    Args:
        lake: The lake.
        batch_id: The batch.
        version: Delta version of ``raw_images``.

    Returns:
        Markdown with one embedded picture; empty for an empty batch.
    """
    ids = lake.read("raw_images", ["image_id"], batch_id=batch_id, version=version)["image_id"]
    rows = _rows(lake, "raw_images", ["image"], batch_id, _spread(ids), version)
    return _sheet(
        [thumbnail(row["image"], _SIDE) for row in rows],
        [row["image_id"] for row in rows],
        f"{len(rows)} of {len(ids)} images of batch {batch_id}",
    )


def masks_sheet(lake: Lake, batch_id: str, *, version: int | None = None) -> str:
    """Show masks over images of a batch of ``gold_dataset``, those with most objects first.

    Args:
        lake: The lake.
        batch_id: The batch.
        version: Delta version of ``gold_dataset``.

    Returns:
        Markdown with one embedded picture; empty for an empty batch.
    """
    index = lake.read(
        "gold_dataset", ["image_id", "boat_count"], batch_id=batch_id, version=version
    ).sort("boat_count", "image_id", descending=[True, False])
    ids = index["image_id"].head(PICTURES).to_list()
    rows = _rows(lake, "gold_dataset", ["image", "mask", "boat_count"], batch_id, ids, version)
    return _sheet(
        [_overlaid(row["image"], decode_mask(row["mask"]), TRUTH) for row in rows],
        [f"{row['image_id']}: {row['boat_count']}" for row in rows],
        f"masks over {len(rows)} of {index.height} images of batch {batch_id}",
    )


def predictions_sheet(lake: Lake, batch_id: str, *, version: int | None = None) -> str:
    """Show predictions of a batch, against the truth where an image is in gold.

    Args:
        lake: The lake.
        batch_id: The batch.
        version: Delta version of ``predictions``.

    Returns:
        Markdown with one embedded picture; empty for an empty batch.
    """
    index = lake.read(
        "predictions", ["image_id", "boat_count", "boat_rles"], batch_id=batch_id, version=version
    ).sort("boat_count", "image_id", descending=[True, False])
    chosen = index.head(PICTURES)
    ids = chosen["image_id"].to_list()
    found = dict(zip(ids, chosen["boat_rles"].to_list(), strict=True))
    truth = {
        row["image_id"]: row["mask"]
        for row in _rows(lake, "gold_dataset", ["mask"], batch_id, ids, None)
    }
    pictures, captions = [], []
    for row in _rows(lake, "raw_images", ["image", "width", "height"], batch_id, ids, None):
        name = row["image_id"]
        columns = np.zeros((row["width"], row["height"]), dtype=np.uint8)
        for text in found[name]:
            rle.fill(rle.parse(text, height=row["height"], width=row["width"]), columns)
        mask = columns.T.astype(np.bool_)
        if name in truth:
            small = thumbnail(row["image"], _SIDE)
            masks = (shrink_mask(m, *small.shape[:2]) for m in (decode_mask(truth[name]), mask))
            pictures.append(draw_comparison(small, *masks))
        else:
            pictures.append(_overlaid(row["image"], mask, PREDICTION))
        captions.append(f"{name}: {len(found[name])}")
    return _sheet(pictures, captions, f"predictions for {len(pictures)} of {index.height} images")


def comparison_sheet(
    rows: Sequence[tuple[str, Pixels, BoolMask, BoolMask]], *, alt: str = "prediction and truth"
) -> tuple[str, bytes]:
    """Show predictions against truth.

    Args:
        rows: Caption, image uint8 ``[H, W, 3]``, truth and prediction bool ``[H, W]``.
        alt: What is to be seen, for those who cannot.

    Returns:
        Markdown with one embedded picture, and that picture as JPEG; both empty without rows.
    """
    if not rows:
        return "", b""
    sheet = contact_sheet(
        [
            draw_comparison(small, *(shrink_mask(m, *small.shape[:2]) for m in (truth, found)))
            for small, truth, found in ((thumbnail(i, _SIDE), t, f) for _, i, t, f in rows)
        ],
        columns=4,
        captions=[caption for caption, *_ in rows],
        size=_SIDE,
    )
    return markdown_image(jpeg_uri(sheet, max_bytes=_MAX_BYTES), alt), to_jpeg(sheet)


def _overlaid(image: bytes, mask: BoolMask, colour: Colour) -> Pixels:
    """Draw on the thumbnail, not before: outlines stay crisp and small objects stay visible."""
    small = thumbnail(image, _SIDE)
    return draw_overlay(small, shrink_mask(mask, *small.shape[:2]), colour=colour)


def _spread(ids: pl.Series) -> list[str]:
    """A few names from all over the batch: neighbours are often windows of one scene."""
    step = max(1, len(ids) // PICTURES)
    return ids.sort().gather_every(step).head(PICTURES).to_list()


def _rows(
    lake: Lake,
    table: str,
    columns: list[str],
    batch_id: str,
    ids: list[str],
    version: int | None,
) -> list[dict[str, Any]]:
    found = lake.pick(table, columns, ids, batch_ids=[batch_id], version=version)
    order = {name: i for i, name in enumerate(ids)}
    return sorted(found.iter_rows(named=True), key=lambda row: order[row["image_id"]])


def _sheet(pictures: list[Pixels], captions: list[str], alt: str) -> str:
    if not pictures:
        return ""
    sheet = contact_sheet(pictures, columns=4, captions=captions, size=_SIDE)
    return markdown_image(jpeg_uri(sheet, max_bytes=_MAX_BYTES), alt)

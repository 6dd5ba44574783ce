"""Do several label files say the same about an image?"""

from __future__ import annotations

import numpy as np
import polars as pl

from boatseg_core.labels.raster import Raster, draw
from boatseg_core.labels.rows import LabelKey, MaskRow, draw_rows


def rivals(candidates: pl.DataFrame, matched: pl.DataFrame) -> dict[str, list[LabelKey]]:
    """Name what other files than the one in force say about the images they share.

    Args:
        candidates: As :func:`boatseg_core.labels.match.candidates` lists them, of the newest label
            of every file.
        matched: As :func:`boatseg_core.labels.match.match` returns it.

    Returns:
        One label a file, by image; only images that several files name.
    """
    others = (
        candidates.filter(~pl.col("shared"))
        .join(
            matched.select("image_id", in_force="source_file").drop_nulls(),
            on="image_id",
            how="inner",
        )
        .filter(pl.col("source_file") != pl.col("in_force"))
        .sort("label_version", "rank")
        .group_by("image_id", "source_file", maintain_order=True)
        .last()
        .sort("image_id", "label_version", "source_file")
    )
    found: dict[str, list[LabelKey]] = {}
    for image_id, *key in others.select("image_id", *LabelKey._fields).iter_rows():
        found.setdefault(image_id, []).append(LabelKey(*key))
    return found


def overlap(raster: Raster, rows: list[MaskRow]) -> float | None:
    """Intersection over union of an image's mask with what other rows say.

    Args:
        raster: The image's mask.
        rows: Rows of another file about the same image.

    Returns:
        0 to 1; 1 where both are empty; ``None`` where none of the rows can be used.
    """
    drawn = draw_rows(rows, raster.height, raster.width)
    if not drawn.objects and any(row.encoded_pixels != "" for row in rows):
        return None
    other = draw(drawn.objects, raster.height, raster.width)
    both = int(np.bitwise_count(raster.packed & other.packed).sum())
    union = raster.area + other.area - both
    return 1.0 if union == 0 else both / union

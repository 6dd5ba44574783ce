"""A page a batch of gold, for assets to link to."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from boatseg_core.gallery.page import write_page
from boatseg_core.gallery.query import cards_from_frame
from boatseg_core.lake import Lake

PICTURES = 40
KEEP = 100
"""Pages kept in a folder; writing one more removes the oldest."""

_BYTES = 4_000_000
_SIZE = 384  # px
_SHOWN = ["image_id", "boat_count", "boat_area", "split", "group_id", "brightness", "label_version"]


def write_batch_page(
    lake: Lake, batch_id: str, folder: Path, *, version: int, class_name: str = "boat"
) -> Path | None:
    """Write the page of a batch of ``gold_dataset``, images with most objects first.

    Args:
        lake: The lake.
        batch_id: The batch; its earlier page is replaced.
        folder: Where the pages are.
        version: Delta version of ``gold_dataset``.
        class_name: What one object is called.

    Returns:
        The page, or ``None`` for an empty batch.
    """
    index = lake.read("gold_dataset", _SHOWN, batch_id=batch_id, version=version)
    chosen = index.sort("boat_count", "image_id", descending=[True, False]).head(PICTURES)
    if chosen.is_empty():
        return None
    ids = chosen["image_id"].to_list()
    pictures = lake.pick(
        "gold_dataset", ["image", "mask"], ids, batch_ids=[batch_id], version=version
    )
    frame = chosen.join(pictures.drop("batch_id"), on="image_id", maintain_order="left")
    page = write_page(
        folder / f"{batch_id}.html",
        f"Batch {batch_id}",
        cards_from_frame(frame, scored=False),
        summary=_summary(index),
        class_name=class_name,
        count=frame.height,
        size=_SIZE,
        max_bytes=_BYTES,
    )
    _forget_oldest(folder)
    return page


def _summary(index: pl.DataFrame) -> dict[str, object]:
    counts = index["boat_count"]
    return {
        "images": index.height,
        "objects": int(counts.sum()),
        "images with objects": int((counts > 0).sum()),
        "groups": index["group_id"].n_unique(),
    }


def _forget_oldest(folder: Path) -> None:
    ages = []
    for path in folder.glob("*.html"):
        try:
            ages.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:  # another run forgot it at the same moment
            continue
    for _, path in sorted(ages)[:-KEEP]:
        path.unlink(missing_ok=True)

"""Small gold tables to load from, in many row groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from boatseg_core.dataset import GoldDataset
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.lake import TABLES, Lake, parts
from support.pictures import encoded, texture
from support.s3 import S3Server

SIDE = 64
BOX = (12, 20, 16, 24)  # x, y, width, height of the boat of every third image


def picture(number: int, *, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """An image whose boat, if it has one, is exactly where it is white."""
    image = texture(number, side, side)
    mask = np.zeros((side, side), dtype=np.bool_)
    if number % 3 == 0:
        x, y, width, height = BOX
        mask[y : y + height, x : x + width] = True
        image[mask] = 255
    return image, mask


def row(number: int, *, split: str = "train", batch: str = "b0", **kinds: Any) -> dict[str, Any]:
    """A row of gold; PNG, so that pixels can be compared."""
    image, mask = picture(number)
    return {
        "image_id": f"{number:04}.png",
        "batch_id": batch,
        "image": encoded(image, kinds.get("format_name", "PNG")),
        "mask": encode_mask(mask),
        "width": SIDE,
        "height": SIDE,
        "boat_count": int(mask.any()),
        "boat_area": int(mask.sum()),
        "boat_areas": [int(mask.sum())] if mask.any() else [],
        "boat_boxes": [list(BOX)] if mask.any() else [],
        "brightness": float(number),
        "group_id": str(number),
        "split": split,
    }


@contextmanager
def _small_groups(rows: int) -> Iterator[None]:
    before = parts.BLOB_ROWS
    parts.BLOB_ROWS = rows
    try:
        yield
    finally:
        parts.BLOB_ROWS = before


def write(lake: Lake, rows: Sequence[dict[str, Any]], *, group: int = 5) -> GoldDataset:
    """Write rows as gold, in row groups of ``group`` rows."""
    with _small_groups(group):
        for batch in sorted({row["batch_id"] for row in rows}):
            chosen = [row for row in rows if row["batch_id"] == batch]
            table = pa.Table.from_pylist(chosen, TABLES["gold_dataset"].schema)
            lake.replace_batch("gold_dataset", batch, table)
    return GoldDataset(lake)


def mixed(count: int, *, batches: int = 3) -> list[dict[str, Any]]:
    """Rows of which every fifth is not of ``train``."""
    return [
        row(i, split="valid" if i % 5 == 4 else "train", batch=f"b{i * batches // count}")
        for i in range(count)
    ]


def lake_in(s3: S3Server) -> Lake:
    """An empty lake in a bucket of its own, which its first object makes."""
    import obstore

    bucket = s3.bucket()
    obstore.put(s3.store(bucket), "lake/here", b"1")
    return Lake(f"s3://{bucket}/lake", s3.storage_options)


def flat(parts: Iterable[Iterable[Any]]) -> list[Any]:
    """The members of all parts in one list."""
    return [member for part in parts for member in part]


def load_in_process(
    root: str, storage: dict[str, str], cache: str, options: dict[str, Any], epochs: int = 1
) -> list[tuple[list[str], int]]:
    """Load the first epoch, so often; names of each batch, and the sum of its pixels."""
    loader = GoldDataset(Lake(root, storage)).loader(cache=cache, **options)
    found = []
    for _ in range(epochs):
        loader.set_epoch(0)
        batches = [(b["image_id"].to_pylist(), int(b["image"].sum())) for b in loader]
        assert batches == (found or batches)
        found = batches
    return found


def load_for_ever(root: str, storage: dict[str, str], cache: str, options: dict[str, Any]) -> None:
    """Load epochs until somebody ends this process."""
    for _ in GoldDataset(Lake(root, storage)).loader(cache=cache, **options).forever():
        pass

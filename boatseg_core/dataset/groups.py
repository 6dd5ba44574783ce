"""Group images that show the same place, and give every group a split that never moves."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass

import numpy as np
import polars as pl

from boatseg_core.config import Settings
from boatseg_core.config.sections import Split
from boatseg_core.dataset.similarity import similar_pairs
from boatseg_core.errors import LakeError
from boatseg_core.imaging.fingerprint import BYTES
from boatseg_core.lake import Lake

EXCLUDED = "excluded"
_ATTEMPTS = 10


@dataclass(frozen=True)
class GroupSummary:
    """Result of grouping one batch.

    Attributes:
        images: Images grouped.
        groups: Groups they belong to.
        excluded: Images left out because they overlap groups of different splits.
        version: Delta version of ``image_groups``.
    """

    images: int
    groups: int
    excluded: int
    version: int


def split_of(group_id: str, split: Split) -> str:
    """Split of a group: a stable hash, so that it never moves as data grows.

    Only the file's own name counts, so that moving a folder moves no image between splits.

    Returns:
        ``train``, ``valid`` or ``test``.
    """
    name = group_id.rpartition("/")[2]
    digest = hashlib.sha256(f"{split.salt}/{name}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < split.test_share:
        return "test"
    return "valid" if position < split.test_share + split.valid_share else "train"


def group_batch(lake: Lake, batch_id: str, settings: Settings) -> GroupSummary:
    """Find the groups of a batch's images among themselves and all images grouped before.

    An image's group, once found, is kept. A new image that overlaps groups of different splits
    belongs to neither: whichever split it joined, its pixels would leak into the other.

    Args:
        lake: The lake; ``raw_images`` holds the fingerprints.
        batch_id: The batch.
        settings: Shares of the splits.

    Raises:
        LakeError: Other batches kept being grouped at the same moment.
    """
    for _ in range(_ATTEMPTS):
        table = lake.create("image_groups")
        known = lake.read("image_groups", version=table.version())
        rows = _assign(lake, batch_id, known, settings.split)
        # Another batch may hold windows of the same place: it must not be grouped between our
        # read and our write.
        version = lake.replace_batch_after("image_groups", batch_id, rows, table.version())
        if version is not None:
            return GroupSummary(
                images=rows.height,
                groups=rows["group_id"].n_unique(),
                excluded=rows.filter(pl.col("split") == EXCLUDED).height,
                version=version,
            )
        time.sleep(random.uniform(0, 0.5))
    raise LakeError(f"batch {batch_id} could not be grouped: too many batches at once, try again")


def _assign(lake: Lake, batch_id: str, known: pl.DataFrame, split: Split) -> pl.DataFrame:
    """Give the batch's images the groups they have, or those of the images they overlap."""
    columns = ["image_id", "batch_id", "sha256", "tiles"]
    keys = ["image_id", "batch_id"]
    mine = lake.read("raw_images", columns, batch_id=batch_id)
    others = known["batch_id"].unique().to_list()
    grouped = (
        pl.concat([_of_batches(lake, columns, others).filter(pl.col("batch_id") != batch_id), mine])
        # An excluded image joins nothing: through it, groups of two splits would become one.
        .join(known.filter(pl.col("split") != EXCLUDED), on=keys, maintain_order="left")
    )
    fresh = mine.join(grouped, on=keys, how="anti").sort("image_id")
    images = pl.concat([grouped.select(columns), fresh])
    joined = _UnionFind(images.height)
    for left, right in _overlaps(images, grouped.height):
        joined.union(left, right)
    settled: dict[int, set[str]] = {}
    for i, group_id in enumerate(grouped["group_id"].to_list()):
        settled.setdefault(joined.find(i), set()).add(group_id)
    first: dict[int, str] = {}
    rows: list[tuple[str, str]] = list(
        grouped.filter(pl.col("batch_id") == batch_id).select("image_id", "group_id").iter_rows()
    )
    splits = {group_id: split_of(group_id, split) for group_id in grouped["group_id"].unique()}
    excluded: set[str] = set()
    for i, image_id in enumerate(fresh["image_id"].to_list(), start=grouped.height):
        root = joined.find(i)
        found = settled.get(root)
        group_id = min(found) if found else first.setdefault(root, image_id)
        splits.setdefault(group_id, split_of(group_id, split))
        if found and len({splits[name] for name in found}) > 1:
            excluded.add(image_id)
        rows.append((image_id, group_id))
    return pl.DataFrame(
        [
            (image_id, batch_id, group_id, EXCLUDED if image_id in excluded else splits[group_id])
            for image_id, group_id in rows
        ],
        schema=dict.fromkeys(("image_id", "batch_id", "group_id", "split"), pl.String),
        orient="row",
    )


def _of_batches(lake: Lake, columns: list[str], batch_ids: list[str]) -> pl.DataFrame:
    frame = lake.scan("raw_images").select(columns).filter(pl.col("batch_id").is_in(batch_ids))
    return frame.collect()


def _overlaps(images: pl.DataFrame, first_new: int) -> list[tuple[int, int]]:
    """Pairs of image rows that share a textured tile or all their bytes."""
    owners: list[int] = []
    blobs: list[bytes] = []
    for i, tiles in enumerate(images["tiles"].to_list()):
        owners += [i] * (len(tiles) // BYTES)
        blobs.append(tiles)
    prints = np.frombuffer(b"".join(blobs), dtype=np.uint8).reshape(-1, BYTES)
    owner = np.array(owners, dtype=np.int64)
    first_print = int(np.searchsorted(owner, first_new))
    pairs = owner[similar_pairs(prints, first_print)]
    same_bytes = (
        images.with_row_index("row")
        .group_by("sha256")
        .agg(pl.col("row"))
        .filter(pl.col("row").list.len() > 1)["row"]
        .to_list()
    )
    found = {(int(a), int(b)) for a, b in pairs.reshape(-1, 2) if a != b}
    found |= {(rows[0], other) for rows in same_bytes for other in rows[1:]}
    return sorted(found)


class _UnionFind:
    """Disjoint sets with path halving (Tarjan & van Leeuwen, 1984); the smallest index is root."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def union(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        self._parent[max(a, b)] = min(a, b)

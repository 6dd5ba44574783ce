"""Group images that show the same place, and give every group a split that never moves."""

from __future__ import annotations

import hashlib
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
    lake.create("image_groups")
    for _ in range(_ATTEMPTS):
        before = lake.table("image_groups").version()
        known = lake.read("image_groups", version=before).filter(pl.col("batch_id") != batch_id)
        rows = _assign(lake, batch_id, known, settings.split)
        version = lake.replace_batch("image_groups", batch_id, rows)
        # Another batch committed between our read and our write may hold windows of the same
        # place: only the writer that saw everything before it may stop here.
        if version == before + 1:
            return GroupSummary(
                images=rows.height,
                groups=rows["group_id"].n_unique(),
                excluded=rows.filter(pl.col("split") == EXCLUDED).height,
                version=version,
            )
    raise LakeError(f"batch {batch_id} could not be grouped: too many batches at once, try again")


def _assign(lake: Lake, batch_id: str, known: pl.DataFrame, split: Split) -> pl.DataFrame:
    columns = ["image_id", "batch_id", "sha256", "tiles"]
    fresh = lake.read("raw_images", columns, batch_id=batch_id).sort("image_id")
    others = known["batch_id"].unique().to_list()
    older = (
        lake.scan("raw_images")
        .select(columns)
        .filter(pl.col("batch_id").is_in(others))
        .collect()
        .join(known, on=["image_id", "batch_id"], how="inner", maintain_order="left")
    )
    images = pl.concat([older.select(columns), fresh])
    joined = _UnionFind(images.height)
    for left, right in _overlaps(images, older.height):
        joined.union(left, right)
    roots = [joined.find(i) for i in range(images.height)]
    settled: dict[int, set[tuple[str, str]]] = {}
    for i, (group_id, name) in enumerate(older.select("group_id", "split").iter_rows()):
        if name != EXCLUDED:
            # Not the split on record: the settings may have changed, and all batches follow.
            settled.setdefault(roots[i], set()).add((group_id, split_of(group_id, split)))
    first: dict[int, str] = {}
    rows: list[tuple[str, str, str, str]] = []
    for i, image_id in enumerate(fresh["image_id"].to_list(), start=older.height):
        known_groups = settled.get(roots[i], set())
        splits = {name for _, name in known_groups}
        if not known_groups:
            group_id = first.setdefault(roots[i], image_id)
            rows.append((image_id, batch_id, group_id, split_of(group_id, split)))
        else:
            group_id = min(group for group, _ in known_groups)
            name = splits.pop() if len(splits) == 1 else EXCLUDED
            rows.append((image_id, batch_id, group_id, name))
    names = ("image_id", "batch_id", "group_id", "split")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


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

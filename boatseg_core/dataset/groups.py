"""Group images that show the same place, and give every group a split that never moves."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.config.sections import Split
from boatseg_core.dataset.overlap import TileGrid, overlapping_images
from boatseg_core.errors import LakeError
from boatseg_core.lake import Lake

EXCLUDED = "excluded"
_ATTEMPTS = 10
_KEYS = ["image_id", "batch_id"]
_SEEN = [*_KEYS, "sha256", "width", "tiles"]


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

    There is no index beside the tables that a crash could leave behind them: fingerprints are read
    from the narrow columns of ``raw_images`` (some 0.4 s for 200,000 images) and looked through
    once for the batch's own. A batch that is grouped already reads no other batch's.

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
    mine = lake.read("raw_images", _SEEN, batch_id=batch_id)
    # An excluded image joins nothing: through it, groups of two splits would become one.
    settled = known.filter(pl.col("split") != EXCLUDED).drop("split")
    fresh = mine.join(settled, on=_KEYS, how="anti").sort("image_id")
    rows = mine.join(settled, on=_KEYS).select("image_id", "group_id")
    splits = {group_id: split_of(group_id, split) for group_id in rows["group_id"].unique()}
    excluded: set[str] = set()
    if fresh.height:
        found = _groups_of(fresh, _others(lake, batch_id, mine, settled))
        new: list[tuple[str, str]] = []
        for image_id, group_ids in found:
            splits |= {name: split_of(name, split) for name in group_ids}
            if len({splits[name] for name in group_ids}) > 1:
                excluded.add(image_id)
            new.append((image_id, min(group_ids)))
        rows = rows.extend(pl.DataFrame(new, schema=rows.schema, orient="row"))
    return rows.select(
        "image_id",
        pl.lit(batch_id).alias("batch_id"),
        "group_id",
        split=pl.when(pl.col("image_id").is_in(list(excluded)))
        .then(pl.lit(EXCLUDED))
        .otherwise(pl.col("group_id").replace_strict(splits, return_dtype=pl.String)),
    )


def _others(lake: Lake, batch_id: str, mine: pl.DataFrame, settled: pl.DataFrame) -> pl.DataFrame:
    """Every image that has a group, with its group: those of other batches and of this one."""
    batches = settled["batch_id"].unique().to_list()
    elsewhere = pl.col("batch_id").is_in(batches) & (pl.col("batch_id") != batch_id)
    read = lake.scan("raw_images").select(_SEEN).filter(elsewhere).collect()
    return pl.concat([read, mine]).join(settled, on=_KEYS, maintain_order="left")


def _groups_of(fresh: pl.DataFrame, others: pl.DataFrame) -> list[tuple[str, set[str]]]:
    """Name each new image's groups: those it leads to, else the first new image it leads to."""
    images = pl.concat([others.select(_SEEN), fresh])
    joined = UnionFind(images.height)
    for left, right in overlapping_images(TileGrid.of(images), others.height).tolist():
        joined.union(left, right)
    for left, right in _same_bytes(images, others.height):
        joined.union(left, right)
    names = others["group_id"]
    groups: dict[int, set[str]] = {}
    # Old images are joined to nothing but new ones: only those that were can be asked for.
    for row in joined.touched(others.height):
        groups.setdefault(joined.find(row), set()).add(names[row])
    return [
        (image_id, groups.setdefault(joined.find(row), {image_id}))
        for row, image_id in enumerate(fresh["image_id"].to_list(), start=others.height)
    ]


def _same_bytes(images: pl.DataFrame, first: int) -> list[tuple[int, int]]:
    """Pairs of rows with equal bytes, one of them at ``first`` or later: a chain, not a square."""
    rows = images.select("sha256").with_row_index("row")
    new = rows.slice(first)
    earliest = rows.join(new, on="sha256", how="semi").group_by("sha256").agg(pl.col("row").min())
    pairs = new.join(earliest, on="sha256", suffix="_first")
    return list(
        pairs.filter(pl.col("row") != pl.col("row_first")).select("row_first", "row").rows()
    )


class UnionFind:
    """Disjoint sets with path halving (Tarjan & van Leeuwen, 1984); the smallest item is root.

    Args:
        size: Number of items, each in a set of its own at first.
    """

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))
        self._touched: set[int] = set()

    def find(self, item: int) -> int:
        """Root of an item's set."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def union(self, a: int, b: int) -> None:
        """Make one set of two."""
        self._touched.update((a, b))
        a, b = self.find(a), self.find(b)
        self._parent[max(a, b)] = min(a, b)

    def touched(self, below: int) -> list[int]:
        """Items lower than ``below`` that were ever named in a union."""
        return sorted(item for item in self._touched if item < below)

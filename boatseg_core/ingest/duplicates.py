"""Find images whose bytes are already there under another name.

Of the images that share their bytes one is the original: that of the smallest ``(batch_id,
image_id)`` among the rows that are the newest version of their image. The others are its
duplicates. Older versions of an overwritten image are neither, and an image whose newest version
has the bytes of an older one (it was only touched) is no duplicate of itself.

That is a function of the tables alone. Two batches judged at the same moment may each miss the
other's rows; :func:`stale_duplicates` then names what has to be judged again.
"""

from __future__ import annotations

import polars as pl

from boatseg_core.lake import Lake
from boatseg_core.lake.snapshot import Snapshot

_KEYS = ["image_id", "batch_id"]
_FOUND = [*_KEYS, "duplicate_of"]
# The leading digits of a SHA-256 are compared first, 64 bits instead of 64 characters: of all
# images only 8 bytes each are ever held, and the whole hash of those that may share theirs.
_LEADING = pl.col("sha256").str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64)


def duplicates(lake: Lake, batch_id: str | None = None) -> pl.DataFrame:
    """List the duplicates by the newest tables.

    Args:
        lake: The lake.
        batch_id: Only the duplicates of this batch; by default of all.

    Returns:
        ``image_id``, ``batch_id`` and ``duplicate_of``, one row a duplicate.
    """
    return _duplicates(Snapshot(lake), batch_id)


def stale_duplicates(lake: Lake) -> list[str]:
    """List the judged batches in which an image should, or should no longer, be a duplicate.

    Only names and hashes are read.

    Args:
        lake: The lake.

    Returns:
        Batch ids, sorted.
    """
    snapshot = Snapshot(lake)
    stored = snapshot.scan("image_quality").select(_FOUND).collect()
    stored = stored.filter(pl.col("duplicate_of").is_not_null())
    expected = _duplicates(snapshot, None).filter(
        pl.col("batch_id").is_in(list(snapshot.counts("image_quality")))
    )
    differing = pl.concat(
        [
            expected.join(stored, on=_FOUND, how="anti"),
            stored.join(expected, on=_FOUND, how="anti"),
        ]
    )
    return sorted(differing["batch_id"].unique().to_list())


def _duplicates(snapshot: Snapshot, batch_id: str | None) -> pl.DataFrame:
    rows = _sharing(snapshot, batch_id)
    newer = (
        snapshot.scan("files")
        .select("image_id", newest="batch_id")
        .join(rows.lazy().select("image_id").unique(), on="image_id", how="semi")
        .group_by("image_id")
        .agg(pl.col("newest").max())
        .collect()
    )
    current = rows.join(newer, on="image_id", how="left").filter(
        (pl.col("newest") <= pl.col("batch_id")) | pl.col("newest").is_null()
    )
    found = (
        current.sort("batch_id", "image_id")
        .select(*_KEYS, duplicate_of=pl.col("image_id").first().over("sha256"))
        .filter(pl.col("image_id") != pl.col("duplicate_of"))
    )
    return found if batch_id is None else found.filter(pl.col("batch_id") == batch_id)


def _sharing(snapshot: Snapshot, batch_id: str | None) -> pl.DataFrame:
    """Rows whose hash begins like that of another row; of one batch, those beside its own."""
    images = snapshot.scan("raw_images").select("batch_id", leading=_LEADING)
    if batch_id is None:
        leading = images.select("leading").collect(engine="streaming")["leading"]
        shared = leading.filter(leading.is_duplicated()).unique()
    else:
        mine = snapshot.scan("raw_images", [batch_id]).select(leading=_LEADING)
        beside = images.join(mine, on="leading", how="semi").collect(engine="streaming")
        shared = beside["leading"].filter(beside["leading"].is_duplicated()).unique()
    if shared.is_empty():
        return pl.DataFrame(schema=dict.fromkeys((*_KEYS, "sha256"), pl.String))
    wanted = shared.to_frame().lazy()
    return (
        snapshot.scan("raw_images")
        .select(*_KEYS, "sha256", leading=_LEADING)
        .join(wanted, on="leading", how="semi")
        .drop("leading")
        .collect(engine="streaming")
    )

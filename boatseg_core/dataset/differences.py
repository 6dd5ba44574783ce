"""Where the tables disagree, for some batches: what each row should say, and what it says.

Everything here is a pure function of the tables and the settings. Facts that reach over batches
(a newer version of an image, two images of one name, the same bytes twice) are looked up in the
batches named as ``within``: see :mod:`boatseg_core.dataset.neighbours` for which have to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np
import polars as pl

from boatseg_core.config import Settings
from boatseg_core.config.sections import Split
from boatseg_core.dataset.gold import IDENTITY
from boatseg_core.dataset.groups import EXCLUDED
from boatseg_core.ingest.quality import criteria_hash
from boatseg_core.labels.match import ENDING, match
from boatseg_core.lake.snapshot import Snapshot

SPLIT = "split by other settings"
CRITERIA = "judged by other quality criteria than those in force"
DUPLICATES = "another image with the same bytes came or went"
LABELS = "labels are newer than the masks"
GOLD = "gold is not up to date"

_KEYS = ["image_id", "batch_id"]


def differences(
    snapshot: Snapshot,
    settings: Settings,
    labels: pl.DataFrame,
    batches: Collection[str],
    within: Collection[str],
) -> dict[str, set[str]]:
    """Compare the narrow columns of some batches with what they should be made of.

    Args:
        snapshot: The tables.
        settings: Quality criteria and shares of the splits.
        labels: The labels in force, as :func:`boatseg_core.labels.match.newest_labels` has them.
        batches: Batches to compare.
        within: These, and every batch with an image, a file name or bytes in common with them.

    Returns:
        The reasons of every batch that differs.
    """
    images = (
        snapshot.scan("raw_images", within)
        .select(*_KEYS, "sha256", "width", "height")
        .collect(engine="streaming")
    )
    files = snapshot.scan("files", within).select(_KEYS).collect(engine="streaming")
    newest = files.group_by("image_id").agg(newest=pl.col("batch_id").max())
    images = images.join(newest, on="image_id", how="left").with_columns(
        current=(pl.col("newest") <= pl.col("batch_id")).fill_null(True)
    )
    mine = images.filter(pl.col("batch_id").is_in(list(batches)))
    known = pl.concat([files.select("image_id"), images.select("image_id")]).unique()
    quality = snapshot.scan("image_quality", batches).select(
        *_KEYS, "passed", "criteria", "duplicate_of"
    )
    verdicts = quality.collect(engine="streaming")
    masks = snapshot.scan("rasterized_masks", batches).select(
        *_KEYS, "label_version", "rejected_rows", "width", "height"
    )
    drawn = masks.collect(engine="streaming")
    groups = snapshot.scan("image_groups", batches).select(*_KEYS, "group_id", "split")
    grouped = groups.collect(engine="streaming")
    gold = snapshot.scan("gold_dataset", batches).select(IDENTITY).collect(engine="streaming")
    found = {
        SPLIT: _resplit(grouped, settings.split),
        CRITERIA: verdicts.filter(pl.col("criteria").ne_missing(criteria_hash(settings.quality))),
        DUPLICATES: _duplicates(images, verdicts),
        LABELS: _labels(mine, drawn, labels, known),
        GOLD: _gold(mine, verdicts, drawn, grouped, gold),
    }
    reasons: dict[str, set[str]] = {}
    for reason, rows in found.items():
        for batch in rows["batch_id"].unique().to_list():
            reasons.setdefault(batch, set()).add(reason)
    return reasons


def splits_of(group_ids: pl.Series, split: Split) -> pl.Series:
    """Split of many groups; the same as :func:`~boatseg_core.dataset.groups.split_of` of each."""
    salted = pl.lit(f"{split.salt}/") + pl.col("name").str.split("/").list.last()
    names = pl.DataFrame({"name": group_ids}).select(salted)["literal"]
    digests = b"".join([hashlib.sha256(name.encode()).digest()[:8] for name in names])
    positions = np.frombuffer(digests, dtype=">u8").astype(np.uint64) / 2**64
    test, valid = split.test_share, split.test_share + split.valid_share
    place = np.searchsorted([test, valid], positions, side="right")
    return pl.Series(np.array(["test", "valid", "train"])[place], dtype=pl.String)


def _resplit(grouped: pl.DataFrame, split: Split) -> pl.DataFrame:
    stored = grouped.filter(pl.col("split") != EXCLUDED)
    names = stored.select(pl.col("group_id").unique())
    expected = names.with_columns(expected=splits_of(names["group_id"], split))
    return stored.join(expected, on="group_id").filter(pl.col("split") != pl.col("expected"))


def _duplicates(images: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Verdicts that miss, or still have, a duplicate; see :mod:`boatseg_core.ingest.duplicates`."""
    shared = images.filter("current").filter(pl.col("sha256").is_duplicated())
    original = pl.col("image_id").sort_by("batch_id", "image_id").first().over("sha256")
    expected = (
        shared.select(*_KEYS, original=original)
        .filter(pl.col("image_id") != pl.col("original"))
        .join(verdicts.select("batch_id").unique(), on="batch_id", how="semi")
    )
    stored = verdicts.filter(pl.col("duplicate_of").is_not_null())
    return _unlike(expected, stored.select(*_KEYS, original="duplicate_of"))


def _labels(
    mine: pl.DataFrame, drawn: pl.DataFrame, labels: pl.DataFrame, known: pl.DataFrame
) -> pl.DataFrame:
    """Masks that are missing, of another label version, or of no image or label any more."""
    name = pl.col("image_id").str.split("/").list.last()
    full = mine.select("image_id", name=name)
    bare = full.select(pl.all().str.replace(ENDING, ""))
    names = pl.concat([column for frame in (full, bare) for column in frame]).unique()
    relevant = labels.filter(pl.col("label_id").is_in(names.implode()))
    matched = match(mine.select(_KEYS), relevant, known.with_columns(name=name))
    expected = matched.drop_nulls("label_version").select(*_KEYS, "label_version")
    return _unlike(expected, drawn.select(*_KEYS, "label_version"))


def _gold(
    mine: pl.DataFrame,
    verdicts: pl.DataFrame,
    drawn: pl.DataFrame,
    grouped: pl.DataFrame,
    gold: pl.DataFrame,
) -> pl.DataFrame:
    """Rows of gold that are missing, too many, or of another picture, mask or split."""
    sizes = ["width", "height"]
    usable = drawn.filter(pl.col("rejected_rows") == 0).drop("rejected_rows")
    expected = (
        mine.filter("current")
        .join(usable, on=[*_KEYS, *sizes])
        .join(verdicts.filter("passed").select(_KEYS), on=_KEYS, how="semi")
        .join(grouped, on=_KEYS)
    )
    return _unlike(expected.select(IDENTITY), gold)


def _unlike(expected: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Rows that are in one of two frames only."""
    by = expected.columns
    stored = stored.select(by)
    return pl.concat(
        [
            expected.join(stored, on=by, how="anti", nulls_equal=True),
            stored.join(expected, on=by, how="anti", nulls_equal=True),
        ]
    )

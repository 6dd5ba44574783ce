"""Judge images by their stored measurements; no picture is touched.

A verdict is a function of the tables and the settings. The reasons, all that apply to an image:

- ``too_narrow``, ``too_low``, ``too_wide``, ``too_high``, ``too_many_pixels``: its size;
- ``format``, ``mode``: not among those that pass;
- ``too_dark``, ``too_bright``, ``too_flat``, ``too_harsh``: mean and standard deviation of its
  luminance;
- ``blank``, ``blurred``: all-black or all-white tiles, and too little detail;
- ``sharpness_unknown``: there is a floor, and the image was read in mode entropy, which cannot say;
- ``duplicate``: the same bytes are there under another name, see :mod:`.duplicates`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.config.sections import Quality
from boatseg_core.ingest.duplicates import duplicates, stale_duplicates
from boatseg_core.lake import Lake
from boatseg_core.lake.snapshot import Snapshot

__all__ = [
    "DUPLICATE",
    "QualitySummary",
    "criteria_hash",
    "judge",
    "judge_batch",
    "outdated_verdicts",
    "stale_duplicates",
    "verdicts_of",
]

DUPLICATE = "duplicate"
"""The reason of an image whose bytes are there under another name: no fault of the picture."""

# Part of every criteria hash: raised when the rules below change, so that all is judged again.
_RULES = 2
_OF_BATCH = {"min_pass_rate", "broken_pass_rate", "max_duplicate_share"}
_SETS = ("formats", "modes")

_MEASURED = (
    "image_id",
    "batch_id",
    "width",
    "height",
    "format",
    "mode",
    "brightness",
    "contrast",
    "sharpness",
    "saturation",
    "black_share",
    "white_share",
)


@dataclass(frozen=True)
class QualitySummary:
    """Result of judging one batch.

    Attributes:
        images: Images judged.
        passed: Of these, images that meet every criterion.
        reasons: Number of images by unmet criterion.
        duplicates: Image and original of those that are there under another name.
        version: Delta version of ``image_quality``.
    """

    images: int
    passed: int
    reasons: dict[str, int]
    duplicates: dict[str, str]
    version: int

    @property
    def pass_rate(self) -> float:
        """Share of images that passed, 0 to 1; 1 for an empty batch."""
        return self.passed / self.images if self.images else 1.0


def criteria_hash(quality: Quality) -> str:
    """Name the criteria in force; it changes when, and only when, a verdict could."""
    criteria = quality.model_dump(exclude=_OF_BATCH)
    criteria |= {name: sorted(set(criteria[name])) for name in _SETS}
    text = json.dumps({"rules": _RULES, **criteria}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def judge(
    measured: pl.DataFrame, quality: Quality, found: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Judge measured images.

    Args:
        measured: The measurement columns of ``raw_images``.
        quality: Criteria.
        found: Duplicates among them: ``image_id``, ``batch_id``, ``duplicate_of``.

    Returns:
        The measurements with ``passed``, ``reasons``, ``duplicate_of`` and ``criteria``.
    """
    q = quality
    width, height = pl.col("width").cast(pl.Int64), pl.col("height").cast(pl.Int64)
    # A tile cannot be both: the sum is the share of tiles with nothing on them.
    blank = pl.col("black_share") + pl.col("white_share")
    unmet = {
        "too_narrow": width < q.min_width,
        "too_low": height < q.min_height,
        "too_wide": width > q.max_width,
        "too_high": height > q.max_height,
        "too_many_pixels": width * height > q.max_pixels,
        "format": ~pl.col("format").is_in(q.formats),
        "mode": ~pl.col("mode").is_in(q.modes),
        "too_dark": pl.col("brightness") < q.min_brightness,
        "too_bright": pl.col("brightness") > q.max_brightness,
        "too_flat": pl.col("contrast") < q.min_contrast,
        "too_harsh": pl.col("contrast") > q.max_contrast,
        "blank": blank > q.max_blank_share,
        "blurred": pl.col("sharpness") < q.min_sharpness,
        # A criterion that cannot be judged is not met: nothing passes because nobody looked.
        "sharpness_unknown": pl.col("sharpness").is_null() & (q.min_sharpness > 0),
        DUPLICATE: pl.col("duplicate_of").is_not_null(),
    }
    reasons = pl.concat_list(
        [pl.when(test).then(pl.lit(name)) for name, test in unmet.items()]
    ).list.drop_nulls()
    linked = (
        measured.with_columns(duplicate_of=pl.lit(None, pl.String))
        if found is None
        else measured.join(found, on=["image_id", "batch_id"], how="left", maintain_order="left")
    )
    return linked.with_columns(reasons=reasons, criteria=pl.lit(criteria_hash(q))).with_columns(
        passed=pl.col("reasons").list.len() == 0
    )


def verdicts_of(
    lake: Lake, batches: Sequence[str], settings: Settings, found: pl.DataFrame
) -> pl.DataFrame:
    """Judge batches of ``raw_images`` without writing anything: rows of ``image_quality``.

    Args:
        lake: The lake.
        batches: The batches; all of their rows are held in memory.
        settings: Criteria.
        found: Duplicates, as :func:`~boatseg_core.ingest.duplicates.duplicates` lists them.
    """
    measured = Snapshot(lake).scan("raw_images", batches).select(_MEASURED).collect()
    return judge(measured, settings.quality, found)


def judge_batch(
    lake: Lake, batch_id: str, settings: Settings, *, version: int | None = None
) -> QualitySummary:
    """Judge a batch of ``raw_images`` and replace it in ``image_quality``.

    Args:
        lake: The lake.
        batch_id: The batch.
        settings: Criteria.
        version: Delta version of ``raw_images`` to read; by default the newest.
    """
    measured = lake.read("raw_images", _MEASURED, batch_id=batch_id, version=version)
    verdicts = judge(measured, settings.quality, duplicates(lake, batch_id))
    written = lake.replace_batch("image_quality", batch_id, verdicts)
    counted = verdicts["reasons"].explode().drop_nulls().value_counts(sort=True)
    linked = verdicts.filter(pl.col("duplicate_of").is_not_null()).sort("image_id")
    return QualitySummary(
        images=verdicts.height,
        passed=int(verdicts["passed"].sum()),
        reasons=dict(counted.iter_rows()),
        duplicates=dict(linked.select("image_id", "duplicate_of").iter_rows()),
        version=written,
    )


def outdated_verdicts(lake: Lake, settings: Settings) -> list[str]:
    """List the batches of bronze whose verdicts are not those of the criteria in force, sorted.

    They were judged by other criteria, before or after an image of theirs became a duplicate, or
    never.
    """
    snapshot = Snapshot(lake)
    criteria = snapshot.scan("image_quality").select("batch_id", "criteria").unique().collect()
    other = criteria.filter(pl.col("criteria") != criteria_hash(settings.quality))
    judged, images = snapshot.counts("image_quality"), snapshot.counts("raw_images")
    outdated = {batch for batch, rows in images.items() if judged.get(batch, 0) != rows}
    return sorted((outdated | set(other["batch_id"]) | set(stale_duplicates(lake))) & set(images))

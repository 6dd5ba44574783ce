"""Judge images by their stored measurements; no picture is touched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.config.sections import Quality
from boatseg_core.lake import Lake

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
        version: Delta version of ``image_quality``.
    """

    images: int
    passed: int
    reasons: dict[str, int]
    version: int

    @property
    def pass_rate(self) -> float:
        """Share of images that passed, 0 to 1; 1 for an empty batch."""
        return self.passed / self.images if self.images else 1.0


def criteria_hash(quality: Quality) -> str:
    """Name the criteria in force; it changes when, and only when, a verdict could."""
    verdicts = quality.model_dump_json(exclude={"min_pass_rate"})
    return hashlib.sha256(verdicts.encode()).hexdigest()[:12]


def judge(measured: pl.DataFrame, quality: Quality) -> pl.DataFrame:
    """Judge measured images.

    Args:
        measured: The measurement columns of ``raw_images``.
        quality: Criteria.

    Returns:
        The measurements with ``passed``, ``reasons`` and ``criteria``.
    """
    q = quality
    blank = pl.max_horizontal("black_share", "white_share")
    unmet = {
        "too_narrow": pl.col("width") < q.min_width,
        "too_low": pl.col("height") < q.min_height,
        "too_wide": pl.col("width") > q.max_width,
        "too_high": pl.col("height") > q.max_height,
        "format": ~pl.col("format").is_in(q.formats),
        "mode": ~pl.col("mode").is_in(q.modes),
        "too_dark": pl.col("brightness") < q.min_brightness,
        "too_bright": pl.col("brightness") > q.max_brightness,
        "too_flat": pl.col("contrast") < q.min_contrast,
        "blank": blank > q.max_blank_share,
        "blurred": pl.col("sharpness") < q.min_sharpness,
    }
    reasons = pl.concat_list(
        [pl.when(test).then(pl.lit(name)) for name, test in unmet.items()]
    ).list.drop_nulls()
    return measured.with_columns(reasons=reasons, criteria=pl.lit(criteria_hash(q))).with_columns(
        passed=pl.col("reasons").list.len() == 0
    )


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
    verdicts = judge(measured, settings.quality)
    written = lake.replace_batch("image_quality", batch_id, verdicts)
    counted = verdicts["reasons"].explode().drop_nulls().value_counts(sort=True)
    return QualitySummary(
        images=verdicts.height,
        passed=int(verdicts["passed"].sum()),
        reasons=dict(counted.iter_rows()),
        version=written,
    )

"""Checks of labels: usable files, labelled images, files that agree, objects like those before.

All of them warn. What is wrong with a label is in the table ``label_issues``, row by row; an image
with a row that cannot be used stays out of gold by itself.
"""

import dagster as dg
import polars as pl

from boatseg_core.gallery import spark
from boatseg_core.labels import file_issues
from boatseg_core.monitoring.labels import AREA, COUNT, label_arrivals, label_shifts, split_balance
from boatseg_dagster.assets.bronze import raw_masks
from boatseg_dagster.assets.gold import gold_dataset
from boatseg_dagster.assets.silver import rasterized_masks
from boatseg_dagster.checks.images import compared
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg

_SHOWN = 20
_WARN = dg.AssetCheckSeverity.WARN


@dg.asset_check(asset=raw_masks)
def label_files_are_usable(boatseg: Boatseg) -> dg.AssetCheckResult:
    """Every label file could be read, and everything in it is about some image."""
    issues = file_issues.read(boatseg.lake())
    files = issues["source_file"].n_unique()
    return dg.AssetCheckResult(
        passed=issues.is_empty(),
        severity=_WARN,
        description=f"{issues.height} issues in {files} label files: see boatseg labels issues"
        if issues.height
        else "every label file could be used",
        metadata={
            "issues": issues.height,
            **dict(issues["reason"].value_counts().sort("reason").iter_rows()),
            **_examples(issues),
        },
    )


@dg.asset_check(asset=rasterized_masks, partitions_def=batches)
def images_have_labels(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Hardly any image of the batch is without a label."""
    lake, batch = boatseg.lake(), context.partition_key
    if not lake.count("label_files"):
        return dg.AssetCheckResult(passed=True, description="no label file was read yet")
    allowed = boatseg.settings().labels.max_unlabelled_share
    images = lake.read("raw_images", ["image_id"], batch_id=batch)
    masks = lake.read("rasterized_masks", ["image_id"], batch_id=batch)
    without = images.join(masks, on="image_id", how="anti")["image_id"].sort().to_list()
    share = len(without) / max(1, images.height)
    return dg.AssetCheckResult(
        passed=share <= allowed,
        severity=_WARN,
        description=f"{len(without)} of {images.height} images ({share:.1%}) have no label, "
        f"{allowed:.1%} are normal; labels may arrive at any time",
        metadata={
            "unlabelled_images": len(without),
            "unlabelled_share": share,
            **({"examples": without[:_SHOWN]} if without else {}),
        },
    )


@dg.asset_check(asset=rasterized_masks, partitions_def=batches)
def label_files_agree(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """No two label files say clearly different things about an image."""
    issues = boatseg.lake().read("label_issues", batch_id=context.partition_key)
    found = issues.filter(pl.col("reason") == "conflicting_files").sort("image_id")
    least = boatseg.settings().labels.conflict_iou
    return dg.AssetCheckResult(
        passed=found.is_empty(),
        severity=_WARN,
        description=f"of {found['image_id'].n_unique()} images the masks of two label files have "
        f"an IoU below {least:.2f}; the newest file is in force"
        if found.height
        else "no two label files contradict each other",
        metadata={"conflicts": found.height, **_examples(found)},
    )


@dg.asset_check(asset=rasterized_masks, partitions_def=batches)
def objects_are_usual(
    context: dg.AssetCheckExecutionContext, boatseg: Boatseg
) -> dg.AssetCheckResult:
    """Objects per image and pixels per object are distributed as in earlier batches."""
    history = boatseg.settings().history
    images, objects = label_arrivals(boatseg.lake(), context.partition_key, history)
    charts = {}
    for what, found in ((COUNT, images), (AREA, objects)):
        now, before = found.batch[what], found.earlier[what]
        high = max(float(value or 0) for value in (now.max(), before.max()))  # type: ignore[arg-type]
        charts[what] = spark.distributions(now, before, title=what, low=0, high=max(1.0, high))
    return compared(label_shifts(images, objects, history), images.batches, charts)


@dg.asset_check(asset=gold_dataset, partitions_def=batches)
def splits_are_balanced(boatseg: Boatseg) -> dg.AssetCheckResult:
    """Objects are shown by about the same part of every split's images."""
    allowed = boatseg.settings().labels.max_balance_gap
    found = split_balance(boatseg.lake(), allowed)
    off = [balance for balance in found if balance.off]
    return dg.AssetCheckResult(
        passed=not off,
        severity=_WARN,
        description="; ".join(
            f"{b.split}: {b.share:.1%} of {b.images} images show an object, of all {b.overall:.1%}"
            for b in off
        )
        or "the splits are alike",
        metadata={
            f"{b.split}/{name}": value
            for b in found
            for name, value in (("images", b.images), ("groups", b.groups), ("share", b.share))
        },
    )


def _examples(issues: pl.DataFrame) -> dict[str, list[str]]:
    shown = [
        f"{row['source_file']}, {row['image_id'] or '-'}: {row['message']}"
        for row in issues.head(_SHOWN).iter_rows(named=True)
    ]
    return {"examples": shown} if shown else {}


label_checks = [
    label_files_are_usable,
    images_have_labels,
    label_files_agree,
    objects_are_usual,
    splits_are_balanced,
]
"""Every check of this module."""

"""From label rows to one mask an image: ``rasterized_masks`` and ``label_issues`` of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from boatseg_core.config import Settings
from boatseg_core.labels.conflicts import overlap, rivals
from boatseg_core.labels.match import (
    candidates,
    known_images,
    labels_by_file,
    match,
    newest,
    newest_labels,
)
from boatseg_core.labels.raster import Raster, draw
from boatseg_core.labels.rows import HARMLESS, LabelKey, MaskRow, draw_rows, keys_of, read_rows
from boatseg_core.lake import TABLES, Lake


@dataclass(frozen=True)
class RasterSummary:
    """What one call of :func:`rasterize_batch` wrote.

    Attributes:
        batch_id: The batch.
        version: Delta version of ``rasterized_masks`` that holds the batch.
        masks: Images with a mask.
        boats: Objects in them.
        boat_images: Images with at least one object.
        unlabelled: Images of the batch without a label.
        rejected: Mask rows that could not be used, by reason.
        issues: All rows written to ``label_issues``, by reason; more than the rejected ones.
    """

    batch_id: str
    version: int
    masks: int
    boats: int
    boat_images: int
    unlabelled: int
    rejected: dict[str, int] = field(default_factory=dict)
    issues: dict[str, int] = field(default_factory=dict)


def rasterize_batch(
    lake: Lake, batch_id: str, settings: Settings, *, versions: Mapping[str, int] | None = None
) -> RasterSummary:
    """Rasterize the newest labels of a batch's images, and replace the batch's masks.

    An image whose label is an empty cell gets a black mask; an image without a label gets no row.
    A row that cannot be used is left out, listed in ``label_issues`` and counted in its image's
    ``rejected_rows``.

    Args:
        lake: The lake.
        batch_id: The batch.
        settings: For ``labels.mask_format``.
        versions: Delta versions to pin, by table (``raw_images``, ``raw_masks``,
            ``label_files``, ``files``); the newest where missing.

    Raises:
        LakeError: ``raw_images`` does not exist, or a version cannot be opened.
    """
    pins = versions or {}
    lake.table("raw_images", pins.get("raw_images"))
    images = lake.read(
        "raw_images",
        ["image_id", "width", "height"],
        batch_id=batch_id,
        version=pins.get("raw_images"),
    )
    by_file, known = labels_by_file(lake, pins), known_images(lake, pins)
    matched = match(images, newest(by_file), known).sort("image_id")
    others = (
        rivals(candidates(images, by_file, known), matched) if settings.labels.conflict_iou else {}
    )
    labelled = matched.filter(pl.col("label_id").is_not_null())
    wanted = [*keys_of(labelled), *(key for keys in others.values() for key in keys)]
    rows = read_rows(lake, wanted, pins)
    issues: list[dict[str, Any]] = []
    masks: list[dict[str, Any]] = []
    for image in matched.iter_rows(named=True):
        if image["ambiguous"]:
            issues.append(_ambiguous(image["image_id"]))
        if image["label_id"] is None:
            continue
        key = LabelKey(*(image[name] for name in LabelKey._fields))
        drawn = draw_rows(rows[key], image["height"], image["width"])
        raster = draw(drawn.objects, image["height"], image["width"])
        lost = sum(issue["reason"] not in HARMLESS for issue in drawn.issues)
        found = drawn.issues + _conflicts(
            raster, key, {k: rows[k] for k in others.get(image["image_id"], [])}, settings
        )
        issues += [{**_origin(image), **issue} for issue in found]
        masks.append(_mask_row(image, raster, lost, settings))
    # Masks last: where a batch's masks are in place, its issues are too.
    lake.replace_batch("label_issues", batch_id, _table("label_issues", issues, batch_id))
    version = lake.replace_batch(
        "rasterized_masks", batch_id, _table("rasterized_masks", masks, batch_id)
    )
    return RasterSummary(
        batch_id,
        version,
        masks=len(masks),
        boats=sum(mask["boat_count"] for mask in masks),
        boat_images=sum(mask["boat_count"] > 0 for mask in masks),
        unlabelled=images.height - len(masks),
        rejected=dict(Counter(i["reason"] for i in issues if i["reason"] not in HARMLESS)),
        issues=dict(Counter(issue["reason"] for issue in issues)),
    )


def orphans(lake: Lake) -> pl.DataFrame:
    """List the labels whose image never came.

    Returns:
        ``image_id``, ``rows``, ``source_file``, ``line`` (the first), ``label_version``; sorted by
        ``image_id``.
    """
    known = known_images(lake)
    keys = pl.concat([known["image_id"], known["name"]]).unique()
    stems = keys.str.replace(r"\.[^./]*$", "").unique()
    by_stem = pl.col("by_stem") & pl.col("label_id").is_in(stems.implode())
    lost = newest_labels(lake).filter(~pl.col("label_id").is_in(keys.implode()) & ~by_stem)
    return (
        lake.scan("raw_masks")
        .select("image_id", "source_file", "line", "label_version")
        .join(
            lost.lazy(),
            left_on=["image_id", "label_version", "source_file"],
            right_on=["label_id", "label_version", "source_file"],
            how="semi",
        )
        .group_by("image_id", "source_file", "label_version")
        .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("line").min())
        .select("image_id", "rows", "source_file", "line", "label_version")
        .sort("image_id")
        .collect()
    )


def stale_batches(lake: Lake) -> list[str]:
    """Name the batches whose masks are not those of the newest labels, sorted.

    That is a batch with an image whose mask is missing, of another label version, or there
    although the image or its label is not. Only narrow columns are read.
    """
    images = lake.read("raw_images", ["image_id", "batch_id"])
    expected = (
        match(images, newest_labels(lake), known_images(lake))
        .drop_nulls("label_version")
        .select("batch_id", "image_id", "label_version")
    )
    present = lake.read("rasterized_masks", ["batch_id", "image_id", "label_version"])
    return (
        expected.join(present, on=["batch_id", "image_id"], how="full", coalesce=True)
        .filter(pl.col("label_version").ne_missing(pl.col("label_version_right")))
        .get_column("batch_id")
        .unique()
        .sort()
        .to_list()
    )


def _conflicts(
    raster: Raster, key: LabelKey, others: dict[LabelKey, list[MaskRow]], settings: Settings
) -> list[dict[str, Any]]:
    """Compare an image's mask with what other files say."""
    found = []
    for other, rows in others.items():
        iou = overlap(raster, rows)
        if iou is not None and iou < settings.labels.conflict_iou:
            found.append(
                {
                    "line": rows[0].line if rows else None,
                    "reason": "conflicting_files",
                    "message": f"{other.source_file} (version {other.label_version}) says "
                    f"otherwise (IoU {iou:.2f}); {key.source_file} (version {key.label_version}) "
                    "is in force",
                }
            )
    return found


def _origin(image: dict[str, Any]) -> dict[str, Any]:
    return {
        "source_file": image["source_file"],
        "image_id": image["label_id"],
        "label_version": image["label_version"],
    }


def _ambiguous(image_id: str) -> dict[str, Any]:
    name = image_id.rsplit("/", 1)[-1]
    return {
        "image_id": image_id,
        "reason": "ambiguous_name",
        "message": f"labels name {name}, and several images are called so: use the full path",
    }


def _mask_row(
    image: dict[str, Any], raster: Raster, rejected_rows: int, settings: Settings
) -> dict[str, Any]:
    return {
        "image_id": image["image_id"],
        "mask": raster.encode(settings.labels.mask_format),
        "mask_format": settings.labels.mask_format,
        "width": raster.width,
        "height": raster.height,
        "boat_count": len(raster.areas),
        "boat_area": raster.area,
        "boat_areas": raster.areas,
        "boat_boxes": raster.boxes,
        "boat_centroids": raster.centroids,
        "boat_orientations": raster.orientations,
        "boat_rles": raster.rles,
        "overlap_pixels": raster.overlap_pixels,
        "rejected_rows": rejected_rows,
        "label_version": image["label_version"],
    }


def _table(name: str, rows: list[dict[str, Any]], batch_id: str) -> pa.Table:
    return pa.Table.from_pylist(
        [{**row, "batch_id": batch_id} for row in rows], schema=TABLES[name].schema
    )

"""Score one sealed batch of the lake."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa

from boatseg_core.errors import ImageError, LakeError
from boatseg_core.inference.predictor import Predictor
from boatseg_core.lake import Lake
from boatseg_core.lake.schemas import TABLES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchScore:
    """What scoring a batch did.

    Attributes:
        batch_id: The batch.
        version: Delta version of ``predictions`` that holds the batch's rows.
        images: Images scored, which is the number of rows written.
        boat_images: Images with at least one object.
        boat_count: Objects found.
        boat_area: Pixels they cover.
        skipped: Images of the batch that did not pass ``image_quality``.
        unreadable: Images that passed but could not be decoded: image_id and message.
    """

    batch_id: str
    version: int
    images: int
    boat_images: int
    boat_count: int
    boat_area: int
    skipped: int
    unreadable: dict[str, str] = field(default_factory=dict)


def score_batch(
    lake: Lake,
    batch_id: str,
    predictor: Predictor,
    *,
    model_name: str,
    model_version: int,
    raw_version: int | None = None,
    quality_version: int | None = None,
) -> BatchScore:
    """Score every image of a batch that passed ``image_quality``.

    Pictures are streamed, so memory does not grow with the batch; the rows are written by one
    atomic replace, so running it again changes nothing but ``scored_at``. An image without objects
    gets a row too.

    Args:
        lake: The lake.
        batch_id: The batch.
        predictor: The model.
        model_name: Name it is registered under.
        model_version: Version it is registered under.
        raw_version: Delta version of ``raw_images`` to read; by default the newest.
        quality_version: Delta version of ``image_quality`` to read; by default the newest.

    Raises:
        LakeError: The batch was not judged yet, or an image that passed is not in ``raw_images``.
        RegistryError: The model itself fails.
    """
    quality = lake.read(
        "image_quality",
        ["image_id", "passed", "brightness"],
        batch_id=batch_id,
        version=quality_version,
    )
    if quality.is_empty():
        raise LakeError(
            f"batch {batch_id} has no rows in image_quality: materialize image_quality for it first"
        )
    brightness: dict[str, float | None] = dict(
        quality.filter("passed").select("image_id", "brightness").iter_rows()
    )

    ids: list[str] = []
    rows: list[dict[str, Any]] = []
    unreadable: dict[str, str] = {}
    scored_at = datetime.now(UTC)
    pictures = _pictures(lake, batch_id, brightness.keys(), raw_version, ids)
    for at, answer in enumerate(predictor.stream(pictures)):
        image_id = ids[at]
        if isinstance(answer, ImageError):
            unreadable[image_id] = str(answer)
            log.warning("%s passed image_quality but cannot be read: %s", image_id, answer)
            continue
        rows.append(
            {
                "image_id": image_id,
                "batch_id": batch_id,
                "model_name": model_name,
                "model_version": model_version,
                "boat_count": answer.boat_count,
                "boat_area": answer.boat_area,
                "boat_areas": answer.areas,
                "boat_boxes": answer.boxes,
                "boat_scores": answer.scores,
                "boat_rles": answer.rles,
                "brightness": brightness[image_id],
                "scored_at": scored_at,
            }
        )
    _cover(batch_id, set(brightness), ids)
    rows.sort(key=lambda row: str(row["image_id"]))
    table = pa.Table.from_pylist(rows, schema=TABLES["predictions"].schema)
    version = lake.replace_batch("predictions", batch_id, table)
    return BatchScore(
        batch_id=batch_id,
        version=version,
        images=len(rows),
        boat_images=sum(row["boat_count"] > 0 for row in rows),
        boat_count=sum(row["boat_count"] for row in rows),
        boat_area=sum(row["boat_area"] for row in rows),
        skipped=quality.height - len(brightness),
        unreadable=unreadable,
    )


def missing(lake: Lake, batch_id: str) -> pl.DataFrame:
    """List the images of a batch that passed ``image_quality`` and have no prediction.

    Returns:
        One column, ``image_id``.
    """
    quality = lake.scan("image_quality").filter(pl.col("batch_id") == batch_id, pl.col("passed"))
    scored = lake.scan("predictions").filter(pl.col("batch_id") == batch_id)
    return (
        quality.select("image_id")
        .join(scored.select("image_id"), on="image_id", how="anti")
        .sort("image_id")
        .collect()
    )


def _pictures(
    lake: Lake,
    batch_id: str,
    passed: Collection[str],
    version: int | None,
    ids: list[str],
) -> Iterator[bytes]:
    """Stream the pictures that passed, noting their ids in ``ids`` as they go by."""
    for batch in lake.batches(
        "raw_images", ["image_id", "image"], batch_id=batch_id, version=version
    ):
        names = batch.column("image_id").to_pylist()
        images = batch.column("image")
        for at, name in enumerate(names):
            if name in passed:
                ids.append(name)
                yield images[at].as_py()


def _cover(batch_id: str, passed: set[str], seen: list[str]) -> None:
    """Make sure that what was read is what passed, each once."""
    lost = sorted(passed - set(seen))
    if lost:
        raise LakeError(
            f"batch {batch_id}: {len(lost)} images passed image_quality but are not in raw_images, "
            f"for example {lost[0]}: materialize raw_images and image_quality for the batch again"
        )
    if len(seen) != len(passed):
        twice = next(name for at, name in enumerate(seen) if name in seen[:at])
        raise LakeError(
            f"batch {batch_id}: {twice} is in raw_images more than once: materialize raw_images "
            "for the batch again"
        )

"""Which batches are still to be scored?"""

from __future__ import annotations

import polars as pl

from boatseg_core.errors import LakeError
from boatseg_core.lake import Lake


def unscored_batches(lake: Lake) -> list[str]:
    """Batches with images that passed quality and have no prediction at all, oldest first."""
    keys = ["image_id", "batch_id"]
    frame = (
        lake.scan("image_quality")
        .filter("passed")
        .select(keys)
        .join(lake.scan("predictions").select(keys), on=keys, how="anti")
        .select("batch_id")
        .unique()
        .collect()
    )
    return frame["batch_id"].sort().to_list()


def stale_scores(lake: Lake, name: str, version: int) -> list[str]:
    """Batches with predictions by another model or version than the given one, oldest first.

    Args:
        lake: The lake.
        name: Name of the registered model; versions of two names cannot be compared.
        version: Version of it.
    """
    frame = (
        lake.scan("predictions")
        .filter((pl.col("model_name") != name) | (pl.col("model_version") != version))
        .select("batch_id")
        .unique()
        .collect()
    )
    return frame["batch_id"].sort().to_list()


def scored_by(lake: Lake, batch_id: str) -> int:
    """Model version behind a batch's predictions.

    Raises:
        LakeError: The batch has no predictions.
    """
    versions = lake.read("predictions", ["model_version"], batch_id=batch_id)["model_version"]
    if versions.is_empty():
        raise LakeError(f"batch {batch_id} has no predictions: run the job score_batch first")
    return int(versions[0])

"""Which batches do the tables not yet, or no longer, agree on with what they are made from?"""

from __future__ import annotations

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.dataset.gold import IDENTITY, expected_rows
from boatseg_core.dataset.groups import EXCLUDED, split_of
from boatseg_core.ingest.quality import criteria_hash
from boatseg_core.ingest.reconcile import (
    incomplete_batches,
    returned_batches,
    sealed_batches,
)
from boatseg_core.labels.build import stale_batches as label_stale_batches
from boatseg_core.lake import Lake


def outdated_batches(lake: Lake, settings: Settings) -> dict[str, str]:
    """List the batches that have to be built, or built again, oldest first.

    Only the ledger, transaction logs and narrow columns are read. Nothing is remembered between
    calls: whatever was lost or failed shows up again.

    Args:
        lake: The lake.
        settings: Criteria that verdicts have to be up to date with.

    Returns:
        Batch id and the reason, in a few words.
    """
    reasons: dict[str, str] = dict.fromkeys(_gold_differs(lake), "gold is not up to date")
    reasons |= dict.fromkeys(label_stale_batches(lake), "labels are newer than the masks")
    reasons |= dict.fromkeys(
        _criteria_differ(lake, settings), "judged by other quality criteria than those in force"
    )
    reasons |= dict.fromkeys(resplit_batches(lake, settings), "split by other settings")
    images = lake.counts("raw_images")
    for table, reason in (("image_groups", "not grouped"), ("image_quality", "not judged")):
        counts = lake.counts(table)
        reasons |= {b: reason for b, rows in images.items() if counts.get(b, 0) != rows}
    reasons |= dict.fromkeys(returned_batches(lake, settings), "files that were gone are back")
    reasons |= dict.fromkeys(incomplete_batches(lake), "sealed files are not in bronze")
    return {batch: reasons[batch] for batch in sealed_batches(lake) if batch in reasons}


def _criteria_differ(lake: Lake, settings: Settings) -> list[str]:
    in_force = criteria_hash(settings.quality)
    stale = lake.scan("image_quality").filter(pl.col("criteria") != in_force)
    return stale.select("batch_id").unique().collect()["batch_id"].to_list()


def _gold_differs(lake: Lake) -> list[str]:
    expected = expected_rows(lake).collect()
    actual = lake.read("gold_dataset", IDENTITY)
    differing = pl.concat(
        [
            expected.join(actual, on=IDENTITY, how="anti"),
            actual.join(expected, on=IDENTITY, how="anti"),
        ]
    )
    return differing["batch_id"].unique().to_list()


def resplit_batches(lake: Lake, settings: Settings) -> list[str]:
    """List the batches whose groups were split by other settings than those in force."""
    groups = lake.read("image_groups").filter(pl.col("split") != EXCLUDED)
    by_hash = {name: split_of(name, settings.split) for name in groups["group_id"].unique()}
    expected = groups["group_id"].replace_strict(by_hash, return_dtype=pl.String)
    return groups.filter(groups["split"] != expected)["batch_id"].unique().to_list()

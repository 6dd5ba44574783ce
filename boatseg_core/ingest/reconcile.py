"""Compare the ledger with the tables: what was sealed and is not there?"""

from __future__ import annotations

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.ingest.sources import NOT_FINAL, is_back, open_source
from boatseg_core.lake import Lake
from boatseg_core.lake.snapshot import Snapshot


def sealed_batches(lake: Lake) -> dict[str, int]:
    """Files of every batch in the ledger, oldest batch first."""
    counts = lake.scan("files").group_by("batch_id").len().sort("batch_id").collect()
    return dict(counts.iter_rows())


def incomplete_batches(lake: Lake) -> list[str]:
    """Batches with files that are neither in ``raw_images`` nor in ``quarantine``.

    Rows are counted from the transaction logs; no table is read but the narrow ledger.
    """
    images, refused = lake.counts("raw_images"), lake.counts("quarantine")
    return [
        batch_id
        for batch_id, files in sealed_batches(lake).items()
        if images.get(batch_id, 0) + refused.get(batch_id, 0) != files
    ]


def returned_batches(lake: Lake, settings: Settings) -> list[str]:
    """Batches with a file that was quarantined as gone and is back as it was sealed, sorted.

    Only the quarantine rows with such a reason are read, and only their files are looked at.

    Args:
        lake: The lake.
        settings: Landing folder or bucket.

    Raises:
        InputError: The ledger names a source that is none.
    """
    return returned(gone_files(Snapshot(lake)), settings)


def gone_files(snapshot: Snapshot) -> pl.DataFrame:
    """Rows of the ledger whose files were not what had been sealed when they were to be read."""
    keys = ["batch_id", "source", "path"]
    gone = snapshot.scan("quarantine").filter(pl.col("reason").is_in(NOT_FINAL)).select(keys)
    wanted = gone.collect(engine="streaming")
    if wanted.is_empty():
        return wanted
    sealed = snapshot.scan("files").join(wanted.lazy(), on=keys, how="semi")
    return sealed.collect(engine="streaming")


def returned(gone: pl.DataFrame, settings: Settings) -> list[str]:
    """Batches with a file that is back; see :func:`returned_batches`.

    Args:
        gone: Rows of the ledger, as :func:`gone_files` has them.
        settings: Landing folder or bucket.
    """
    found: set[str] = set()
    for (name,), rows in () if gone.is_empty() else gone.group_by("source"):
        source = open_source(str(name), settings)
        for row in rows.sort("batch_id", "path").iter_rows(named=True):
            if row["batch_id"] not in found and is_back(source, row):
                found.add(row["batch_id"])
    return sorted(found)


def missing_files(lake: Lake, batch_id: str) -> list[str]:
    """Paths of a batch that are neither in ``raw_images`` nor in ``quarantine``, sorted."""
    taken = pl.concat(
        [lake.read(name, ["path"], batch_id=batch_id) for name in ("raw_images", "quarantine")]
    )
    sealed = lake.read("files", ["path"], batch_id=batch_id)
    return sealed.join(taken, on="path", how="anti")["path"].sort().to_list()

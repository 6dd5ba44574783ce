"""Compare the ledger with the tables: what was sealed and is not there?"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.ingest.bronze import GONE
from boatseg_core.ingest.discover import root_of
from boatseg_core.lake import Lake


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
        settings: Landing folder.

    Raises:
        InputError: The ledger names a landing folder that is not a path.
    """
    gone = lake.scan("quarantine").filter(pl.col("reason").is_in(GONE))
    keys = ["batch_id", "source", "path"]
    wanted = gone.select(keys).collect()
    if wanted.is_empty():
        return []
    sealed = lake.scan("files").select(*keys, "size_bytes", "mtime_ns")
    rows = sealed.join(wanted.lazy(), on=keys, how="semi").collect()
    return sorted(
        {
            row["batch_id"]
            for row in rows.iter_rows(named=True)
            if _is_back(root_of(row["source"], settings) / row["path"], row)
        }
    )


def _is_back(file: Path, sealed: dict[str, Any]) -> bool:
    try:
        found = file.stat()
    except OSError:  # not there, or not to be reached: not back yet
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) == (
        sealed["size_bytes"],
        sealed["mtime_ns"],
    )


def missing_files(lake: Lake, batch_id: str) -> list[str]:
    """Paths of a batch that are neither in ``raw_images`` nor in ``quarantine``, sorted."""
    taken = pl.concat(
        [lake.read(name, ["path"], batch_id=batch_id) for name in ("raw_images", "quarantine")]
    )
    sealed = lake.read("files", ["path"], batch_id=batch_id)
    return sealed.join(taken, on="path", how="anti")["path"].sort().to_list()

"""Compare the ledger with the tables: what was sealed and is not there?"""

from __future__ import annotations

import polars as pl

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


def missing_files(lake: Lake, batch_id: str) -> list[str]:
    """Paths of a batch that are neither in ``raw_images`` nor in ``quarantine``, sorted."""
    taken = pl.concat(
        [lake.read(name, ["path"], batch_id=batch_id) for name in ("raw_images", "quarantine")]
    )
    sealed = lake.read("files", ["path"], batch_id=batch_id)
    return sealed.join(taken, on="path", how="anti")["path"].sort().to_list()

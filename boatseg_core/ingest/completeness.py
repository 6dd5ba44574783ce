"""Does every sealed file of a batch have its one row, and nothing else a row?"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from boatseg_core.lake import Lake

_FILE = ["source", "path"]


@dataclass(frozen=True)
class Completeness:
    """A batch, file by file; each list is sorted and empty in a sound batch.

    Attributes:
        sealed: Files the ledger has for the batch.
        images: Rows of ``raw_images``.
        refused: Rows of ``quarantine``.
        missing: Sealed files that are in neither table.
        repeated: Files with more than one row, in one of the tables or in both together.
        unknown: Files with a row that the ledger does not have in this batch.
    """

    sealed: int
    images: int
    refused: int
    missing: list[str]
    repeated: list[str]
    unknown: list[str]

    @property
    def problems(self) -> list[str]:
        """A sentence a file with something wrong, empty in a sound batch."""
        return [
            *(f"{path}: neither in raw_images nor in quarantine" for path in self.missing),
            *(f"{path}: more than one row" for path in self.repeated),
            *(f"{path}: a row, but not sealed into this batch" for path in self.unknown),
        ]


def completeness(lake: Lake, batch_id: str) -> Completeness:
    """Compare the ledger with the rows of a batch.

    Args:
        lake: The lake.
        batch_id: The batch.
    """
    sealed = lake.read("files", _FILE, batch_id=batch_id)
    images = lake.read("raw_images", _FILE, batch_id=batch_id)
    refused = lake.read("quarantine", _FILE, batch_id=batch_id)
    rows = pl.concat([images, refused])
    return Completeness(
        sealed=sealed.height,
        images=images.height,
        refused=refused.height,
        missing=_paths(sealed.join(rows, on=_FILE, how="anti")),
        repeated=_paths(rows.filter(rows.is_duplicated())),
        unknown=_paths(rows.join(sealed, on=_FILE, how="anti")),
    )


def _paths(rows: pl.DataFrame) -> list[str]:
    return rows["path"].unique().sort().to_list()

"""Seal new files into batches, exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import LakeError
from boatseg_core.ingest.discover import Discovery, discover
from boatseg_core.lake import Lake

_APP_ID = "seal"
_ATTEMPTS = 20


@dataclass(frozen=True)
class Sealed:
    """Result of one sealing.

    Attributes:
        batches: Batch ids sealed now, with their number of files.
        discovery: What the listing found.
    """

    batches: dict[str, int]
    discovery: Discovery


def seal(lake: Lake, settings: Settings) -> Sealed:
    """Discover new files and append them to the ledger as batches.

    The batches of one call are one Delta commit under the application transaction ``seal``, whose
    version counts the batches ever sealed. A concurrent sealer therefore loses the race as a
    whole, and looks again at a ledger that already has the winner's files.

    Args:
        lake: The lake with the ledger.
        settings: Landing folder and the bounds of a batch.

    Raises:
        InputError: The landing folder cannot be listed.
        LakeError: The race was lost too many times in a row.
    """
    for _ in range(_ATTEMPTS):
        ledger = lake.create("files")
        count = ledger.transaction_version(_APP_ID) or 0
        found = discover(lake, settings, ledger_version=ledger.version())
        if found.new.is_empty():
            return Sealed({}, found)
        rows = _cut(found.new, settings, count)
        batches = dict(rows.group_by("batch_id", maintain_order=True).len().iter_rows())
        committed = lake.append(
            "files", rows, app_id=_APP_ID, app_version=count + len(batches), app_after=count
        )
        if committed is not None:
            return Sealed(batches, found)
    raise LakeError(f"other processes kept sealing first, {_ATTEMPTS} times: try again")


def _cut(new: pl.DataFrame, settings: Settings, count: int) -> pl.DataFrame:
    """Cut files into batches bounded by number and bytes; a single larger file is one batch."""
    now = datetime.now(UTC)
    numbers: list[int] = []
    number, files, size = count + 1, 0, 0
    for bytes_ in new["size_bytes"].to_list():
        if files and (files >= settings.seal.max_files or size + bytes_ > settings.seal.max_bytes):
            number, files, size = number + 1, 0, 0
        files, size = files + 1, size + bytes_
        numbers.append(number)
    day = f"{now:%Y%m%d}"
    return new.with_columns(
        pl.Series("batch_id", [f"{day}-{n:06d}" for n in numbers]),
        pl.lit(now).dt.cast_time_unit("us").alias("sealed_at"),
    )

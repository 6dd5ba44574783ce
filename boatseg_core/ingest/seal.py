"""Seal new files into batches, exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import LakeError
from boatseg_core.ingest.discover import Discovery, discover
from boatseg_core.ingest.known import sealed_since
from boatseg_core.ingest.sources import source_of
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


def seal(
    lake: Lake, settings: Settings, *, after: str = "", max_files: int = 0, seconds: float = 0
) -> Sealed:
    """Discover new files and append them to the ledger as batches.

    The batches of one call are one Delta commit under the application transaction ``seal``, whose
    version counts the batches ever sealed. A concurrent sealer therefore loses the race as a
    whole, takes out what the winner has sealed, and tries again with the rest.

    Args:
        lake: The lake with the ledger.
        settings: Landing folder and the bounds of a batch.
        after: Where to go on listing; see :func:`boatseg_core.ingest.discover.discover`.
        max_files: Most files to seal in this call, give or take an archive's; 0 for no limit.
        seconds: Longest listing; 0 for no limit.

    Raises:
        InputError: The landing folder cannot be listed.
        LakeError: The race was lost too many times in a row.
    """
    ledger = lake.create("files")
    count = ledger.transaction_version(_APP_ID) or 0
    found = discover(
        lake,
        settings,
        ledger_version=ledger.version(),
        after=after,
        max_files=max_files,
        seconds=seconds,
    )
    new = found.new
    for _ in range(_ATTEMPTS):
        if new.is_empty():
            return Sealed({}, found)
        rows = _cut(new, settings, count)
        batches = dict(rows.group_by("batch_id", maintain_order=True).len().iter_rows())
        committed = lake.append(
            "files", rows, app_id=_APP_ID, app_version=count + len(batches), app_after=count
        )
        if committed is not None:
            return Sealed(batches, found)
        ledger = lake.table("files")
        new = _not_sealed_since(lake, new, source_of(settings), count, ledger.version())
        count = ledger.transaction_version(_APP_ID) or 0
    raise LakeError(f"other processes kept sealing first, {_ATTEMPTS} times: try again")


def _not_sealed_since(
    lake: Lake, new: pl.DataFrame, source: str, count: int, version: int
) -> pl.DataFrame:
    """Leave out what another sealer was faster with, in whatever state it saw it.

    If that was an older state than ours, the next look finds the file new again.
    """
    theirs = sealed_since(lake, source, count, version)
    packed = theirs.filter(pl.col("archive") != "")["archive"].unique()
    alone = theirs.filter(pl.col("archive") == "")["path"]
    in_archive = pl.col("archive") != ""
    return new.filter(
        pl.when(in_archive)
        .then(~pl.col("archive").is_in(packed.implode()))
        .otherwise(~pl.col("path").is_in(alone.implode()))
    )


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

"""Read a sealed batch's files into ``raw_images``, or into ``quarantine`` with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from boatseg_core.config import Settings
from boatseg_core.ingest.ahead import Reading
from boatseg_core.ingest.pictures import (
    Outcome,
    Refused,
    Taken,
    pictures_schema,
    record_batches,
)
from boatseg_core.ingest.sources import NOT_FINAL
from boatseg_core.lake import TABLES, Lake


@dataclass(frozen=True)
class BronzeSummary:
    """Result of reading one batch.

    Attributes:
        sealed: Files the ledger has for the batch.
        images: Files that became rows of ``raw_images``.
        kept: Of these, rows kept from an earlier run because the file is gone or changed since, or
            cannot be read at the moment.
        new_versions: Of these, images that an earlier batch has another version of.
        quarantined: Number of refused files by reason.
        refused: Path and message of each refused file.
        bytes_read: Size of the images that were read, in bytes.
        version: Delta version of ``raw_images``.
    """

    sealed: int
    images: int
    kept: int
    new_versions: int
    quarantined: dict[str, int]
    refused: list[tuple[str, str]]
    bytes_read: int
    version: int


@dataclass
class _Tally:
    taken: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    bytes_read: int = 0
    refused: list[Refused] = field(default_factory=list)
    missing: list[Refused] = field(default_factory=list)


def ingest_batch(
    lake: Lake, batch_id: str, settings: Settings, *, reading: Reading | None = None
) -> BronzeSummary:
    """Read, decode and measure a batch's files and replace the batch in bronze.

    A second run gives the same rows. A file that has meanwhile been deleted or overwritten, or
    cannot be read, keeps the row of the earlier run, be it of an image or of a refusal: what was
    once taken is never lost.

    Args:
        lake: The lake.
        batch_id: A batch of the ledger.
        settings: Landing folder and decoding bounds.
        reading: Several batches being read one after the other, this one among them: the next one
            is begun while this one is committed.

    Raises:
        InputError: The ledger has no such batch, or the landing folder it came from cannot be
            read. Nothing is written then.
        LostRace: Another process wrote the batch meanwhile.
    """
    if reading is None:
        with Reading(lake, settings, [batch_id]) as alone:
            return ingest_batch(lake, batch_id, settings, reading=alone)
    sealed, outcomes = reading.take(batch_id)
    # Rows of an earlier run are taken over from these versions: a run that commits in between wins.
    before = lake.create("raw_images")
    refused_before = lake.create("quarantine")
    tally = _Tally()
    images = record_batches(_images(outcomes, tally))
    stream = _chain(images, lambda: _earlier(lake, batch_id, before.version(), tally))
    version = lake.replace_batch(
        "raw_images",
        batch_id,
        pa.RecordBatchReader.from_batches(pictures_schema(), stream),
        since=before,
    )
    rows = [_quarantined(each) for each in tally.refused]
    if any(row["reason"] in NOT_FINAL for row in rows):
        rows = _first_refusals(rows, _refusals(lake, batch_id, refused_before.version()))
    table = pa.Table.from_pylist(rows, schema=TABLES["quarantine"].schema)
    lake.replace_batch("quarantine", batch_id, table, since=refused_before)
    taken = tally.taken + tally.kept
    return BronzeSummary(
        sealed=sealed.height,
        images=len(taken),
        kept=len(tally.kept),
        new_versions=_new_versions(lake, batch_id, taken),
        quarantined=dict(Counter(row["reason"] for row in rows)),
        refused=[(row["path"], row["message"]) for row in rows],
        bytes_read=tally.bytes_read,
        version=version,
    )


def _images(outcomes: Iterable[Outcome], tally: _Tally) -> Iterator[Taken]:
    """Hand on the images, and note down the rest."""
    for outcome in outcomes:
        if isinstance(outcome, Taken):
            tally.taken.append(outcome.row["image_id"])
            tally.bytes_read += len(outcome.data)
            yield outcome
        elif outcome.reason in NOT_FINAL:
            tally.missing.append(outcome)
        else:
            tally.refused.append(outcome)


def _chain(
    first: Iterator[pa.RecordBatch], then: Callable[[], Iterator[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    yield from first
    yield from then()  # only now is it known which files are gone


def _earlier(lake: Lake, batch_id: str, version: int, tally: _Tally) -> Iterator[pa.RecordBatch]:
    """Carry over the rows an earlier run wrote for files that are gone; refuse the others."""
    found: set[str] = set()
    if tally.missing:
        wanted = pa.array([each.row["path"] for each in tally.missing], pa.string())
        schema = pictures_schema()
        for batch in lake.batches("raw_images", batch_id=batch_id, version=version):
            table = pa.Table.from_batches([batch]).select(schema.names)
            kept = table.filter(pc.is_in(table["path"], wanted)).cast(schema)
            found |= set(kept["path"].to_pylist())
            tally.kept += kept["image_id"].to_pylist()
            yield from kept.to_batches()
    tally.refused += [each for each in tally.missing if each.row["path"] not in found]


def _quarantined(refused: Refused) -> dict[str, Any]:
    keys = ("image_id", "source", "path", "batch_id", "size_bytes")
    return {key: refused.row[key] for key in keys} | {
        "reason": refused.reason,
        "message": refused.message,
        "sha256": refused.sha256,
        "head": refused.head,
        "quarantined_at": refused.at,
    }


def _refusals(lake: Lake, batch_id: str, version: int) -> pl.DataFrame:
    columns = TABLES["quarantine"].schema.names
    return lake.read("quarantine", columns, batch_id=batch_id, version=version)


def _first_refusals(now: list[dict[str, Any]], before: pl.DataFrame) -> list[dict[str, Any]]:
    """Keep an earlier refusal of a file's content when the file is merely gone since."""
    judged = before.filter(~pl.col("reason").is_in(NOT_FINAL))
    earlier = {(row["source"], row["path"]): row for row in judged.iter_rows(named=True)}
    return [
        earlier.get((row["source"], row["path"]), row) if row["reason"] in NOT_FINAL else row
        for row in now
    ]


def _new_versions(lake: Lake, batch_id: str, image_ids: list[str]) -> int:
    """Count the images that an earlier batch of the ledger has, too."""
    if not image_ids:
        return 0
    # The range lets most of a large ledger's row groups be passed over: a batch is a stretch of
    # the listing.
    image = pl.col("image_id")
    near = image.is_between(pl.lit(min(image_ids)), pl.lit(max(image_ids)))
    earlier = lake.scan("files").filter(near & (pl.col("batch_id") < batch_id)).select("image_id")
    images = pl.LazyFrame({"image_id": image_ids}, schema={"image_id": pl.String})
    return int(images.join(earlier, on="image_id", how="semi").select(pl.len()).collect().item())

"""Read a sealed batch's files into ``raw_images``, or into ``quarantine`` with the reason."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from boatseg_core.config import Settings
from boatseg_core.errors import ImageError, InputError
from boatseg_core.imaging.measure import measure
from boatseg_core.ingest.discover import root_of
from boatseg_core.lake import TABLES, Lake

# Rows in one Arrow batch handed to the writer: bounds memory at some 8 MB of 130 kB pictures.
_ROWS = 64
GONE = ("vanished", "changed")
"""Reasons of files that were not what had been sealed; they are asked for again when they are."""

# The last two: a folder has become a file, or the file a folder.
_VANISHED = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_HEAD = 64  # bytes of a refused file that are kept, enough to see what it really is


@dataclass(frozen=True)
class BronzeSummary:
    """Result of reading one batch.

    Attributes:
        sealed: Files the ledger has for the batch.
        images: Files that became rows of ``raw_images``.
        kept: Of these, rows kept from an earlier run because the file is gone or changed since.
        quarantined: Number of refused files by reason.
        refused: Path and message of each refused file.
        bytes_read: Size of the images, in bytes.
        version: Delta version of ``raw_images``.
    """

    sealed: int
    images: int
    kept: int
    quarantined: dict[str, int]
    refused: list[tuple[str, str]]
    bytes_read: int
    version: int


@dataclass
class _Tally:
    images: int = 0
    kept: int = 0
    bytes_read: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)


def ingest_batch(lake: Lake, batch_id: str, settings: Settings) -> BronzeSummary:
    """Read, decode and measure a batch's files and replace the batch in bronze.

    A second run gives the same rows. A file that has meanwhile been deleted or overwritten keeps
    the row of the earlier run, be it of an image or of a refusal: what was once taken is never
    lost.

    Args:
        lake: The lake.
        batch_id: A batch of the ledger.
        settings: Landing folder and decoding bounds.

    Raises:
        InputError: The ledger has no such batch, or it the landing folder it came from or one
            of its files cannot be read. Nothing is written then.
    """
    sealed = lake.read("files", batch_id=batch_id).sort("path")
    if sealed.is_empty():
        raise InputError(f"batch {batch_id} is not in the ledger: run the sensor or boatseg ingest")
    roots = {s: root_of(s, settings) for s in sealed["source"].unique().to_list()}
    for root in roots.values():
        _check_root(root)
    refused = lake.read("quarantine", TABLES["quarantine"].schema.names, batch_id=batch_id)
    tally = _Tally()
    schema = TABLES["raw_images"].schema
    before = lake.version("raw_images")
    rows = _read(sealed, roots, settings, tally)
    stream = _chain(_batches(rows, schema), lambda: _earlier(lake, batch_id, before, tally))
    version = lake.replace_batch(
        "raw_images", batch_id, pa.RecordBatchReader.from_batches(schema, stream)
    )
    tally.refused = _first_refusals(tally.refused, refused)
    lake.replace_batch("quarantine", batch_id, _quarantine(tally.refused, batch_id))
    reasons: dict[str, int] = {}
    for row in tally.refused:
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
    return BronzeSummary(
        sealed=sealed.height,
        images=tally.images,
        kept=tally.kept,
        quarantined=reasons,
        refused=[(row["path"], row["message"]) for row in tally.refused],
        bytes_read=tally.bytes_read,
        version=version,
    )


def _check_root(root: Path) -> None:
    """Refuse a folder that is not there: of its files nothing can be said, least that they went."""
    try:
        os.scandir(root).close()
    except OSError as error:
        raise InputError(
            f"the images folder {root} cannot be read: {error.strerror}; connect its disk or "
            "create it, then run the batch again"
        ) from error


def _first_refusals(now: list[dict[str, Any]], before: pl.DataFrame) -> list[dict[str, Any]]:
    """Keep an earlier refusal of a file's content when the file is merely gone since."""
    judged = before.filter(~pl.col("reason").is_in(GONE))
    earlier = {(row["source"], row["path"]): row for row in judged.iter_rows(named=True)}
    return [
        earlier.get((row["source"], row["path"]), row) if row["reason"] in GONE else row
        for row in now
    ]


def _read(
    sealed: pl.DataFrame, roots: dict[str, Path], settings: Settings, tally: _Tally
) -> Iterator[dict[str, Any]]:
    """Decode in threads, in order, with a bounded number of pictures in flight."""
    threads = settings.decode.threads or os.cpu_count() or 1
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[Future[dict[str, Any]]] = deque()
        for row in sealed.iter_rows(named=True):
            waiting.append(
                pool.submit(_read_one, row, roots[row["source"]], settings.decode.max_pixels)
            )
            if len(waiting) >= 4 * threads:
                yield from _settle(waiting.popleft().result(), tally)
        while waiting:
            yield from _settle(waiting.popleft().result(), tally)


def _settle(row: dict[str, Any], tally: _Tally) -> Iterator[dict[str, Any]]:
    if row.get("gone"):
        tally.missing.append(row)
    elif "reason" in row:
        tally.refused.append(row)
    else:
        tally.images += 1
        tally.bytes_read += row["size_bytes"]
        yield row


def _read_one(row: dict[str, Any], root: Path, max_pixels: int) -> dict[str, Any]:
    base = {key: row[key] for key in ("image_id", "source", "path", "batch_id")}
    file = root / row["path"]
    try:
        with file.open("rb") as handle:
            data = handle.read()
            mtime_ns = os.fstat(handle.fileno()).st_mtime_ns
    except _VANISHED:
        _check_root(root)  # a disk disconnected meanwhile takes all its files with it
        message = f"{file} was deleted after it was sealed into {row['batch_id']}"
        return base | _refusal("vanished", message, b"", row["size_bytes"]) | {"gone": True}
    except OSError as error:  # of a file that is there: not final, as a refusal would be
        raise InputError(
            f"{file} cannot be read: {error.strerror}; make it readable or delete it, then run "
            f"batch {row['batch_id']} again"
        ) from error
    if (len(data), mtime_ns) != (row["size_bytes"], row["mtime_ns"]):
        # Its new content is a new file to the next discovery; this batch must not swallow it.
        message = f"{file} was changed after it was sealed into {row['batch_id']}"
        return base | _refusal("changed", message, data, len(data)) | {"gone": True}
    try:
        measured = measure(data, max_pixels=max_pixels)
    except ImageError as error:
        return base | _refusal(error.reason, f"{row['path']}: {error}", data, len(data))
    return base | asdict(measured) | {"image": data, "ingested_at": datetime.now(UTC)}


def _refusal(reason: str, message: str, data: bytes, size: int) -> dict[str, Any]:
    return {
        "reason": reason,
        "message": message,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": size,
        "head": data[:_HEAD],
        "quarantined_at": datetime.now(UTC),
    }


def _batches(rows: Iterator[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ROWS:
            yield pa.RecordBatch.from_pylist(chunk, schema=schema)
            chunk = []
    if chunk:
        yield pa.RecordBatch.from_pylist(chunk, schema=schema)


def _chain(first: Iterator[pa.RecordBatch], then: Any) -> Iterator[pa.RecordBatch]:
    yield from first
    yield from then()  # only now is it known which files are gone


def _earlier(
    lake: Lake, batch_id: str, version: int | None, tally: _Tally
) -> Iterator[pa.RecordBatch]:
    """Carry over the rows an earlier run wrote for files that are gone; refuse the others."""
    found: set[str] = set()
    if tally.missing and version is not None:
        wanted = pl.Series([row["path"] for row in tally.missing])
        schema = TABLES["raw_images"].schema
        for batch in lake.batches("raw_images", batch_id=batch_id, version=version):
            table = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
            paths = pl.Series(table["path"].to_pylist(), dtype=pl.String)
            keep = paths.is_in(wanted.to_list()).to_list()
            kept = table.filter(pa.array(keep))
            found |= set(kept["path"].to_pylist())
            tally.images += kept.num_rows
            tally.kept += kept.num_rows
            yield from kept.to_batches()
    tally.refused += [row for row in tally.missing if row["path"] not in found]


def _quarantine(refused: list[dict[str, Any]], batch_id: str) -> pa.Table:
    schema = TABLES["quarantine"].schema
    return pa.Table.from_pylist(
        [{name: row.get(name, batch_id) for name in schema.names} for row in refused],
        schema=schema,
    )

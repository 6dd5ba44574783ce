"""Read and measure one file, and gather what was read into rows of ``raw_images``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from boatseg_core.errors import ImageError
from boatseg_core.imaging.measure import Measurements, Mode, measure
from boatseg_core.ingest.sources import Fetch, Refusal, Row
from boatseg_core.lake import TABLES

# One Arrow batch handed to the writer.
_ROWS = 64
_BATCH_BYTES = 16 * 2**20

# A view of bytes; a few bytes would stand in it themselves.
_VIEW = np.dtype([("length", "<i4"), ("prefix", "S4"), ("buffer", "<i4"), ("offset", "<i4")])
_INLINE = 12

_HEAD = 64  # bytes of a refused file that are kept, enough to see what it really is
# Columns that are what the ledger says of a file, and what was found in it.
_FOUND = [
    name for name in Measurements.__dataclass_fields__ if name in TABLES["raw_images"].schema.names
]
_LISTED = [
    name
    for name in TABLES["raw_images"].schema.names
    if name not in {*_FOUND, "image", "ingested_at"}
]
_found, _listed = attrgetter(*_FOUND), itemgetter(*_LISTED)


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that is an image.

    Attributes:
        row: Its row of the ledger.
        data: Its bytes.
        measured: What it is like.
        at: When it was read.
    """

    row: Row
    data: bytes
    measured: Measurements
    at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is none, or could not be read.

    Attributes:
        row: Its row of the ledger.
        reason: A reason of :mod:`boatseg_core.imaging.decode` or of
            :mod:`boatseg_core.ingest.sources`.
        message: The reason in a sentence.
        sha256: Of its bytes; ``None`` if not all of them were read.
        head: Its first bytes, perhaps none.
        at: When it was refused.
    """

    row: Row
    reason: str
    message: str
    sha256: str | None
    head: bytes
    at: datetime


Outcome: TypeAlias = Taken | Refused


def outcome(row: Row, fetch: Fetch, max_pixels: int, mode: Mode) -> Outcome:
    """Read and measure a file.

    Args:
        row: Its row of the ledger.
        fetch: Reads its bytes.
        max_pixels: Larger pictures are refused.
        mode: How it is decoded.

    Raises:
        InputError: The source cannot be reached.
    """
    try:
        data = fetch()
    except Refusal as refusal:
        return Refused(
            row, refusal.reason, str(refusal), None, refusal.data[:_HEAD], datetime.now(UTC)
        )
    try:
        return Taken(row, data, measure(data, max_pixels=max_pixels, mode=mode), datetime.now(UTC))
    except ImageError as error:
        digest = hashlib.sha256(data).hexdigest()
        message = f"{row['path']}: {error}"
        return Refused(row, error.reason, message, digest, data[:_HEAD], datetime.now(UTC))


def pictures_schema() -> pa.Schema:
    """Columns of ``raw_images``, in which pictures are seen where they were read to."""
    schema = TABLES["raw_images"].schema
    at = schema.get_field_index("image")
    return schema.set(at, schema.field(at).with_type(pa.binary_view()))


def record_batches(taken: Iterable[Taken]) -> Iterator[pa.RecordBatch]:
    """Gather images into record batches of :func:`pictures_schema`, bounded in rows and bytes."""
    schema = pictures_schema()
    chunk: list[Taken] = []
    size = 0
    for each in taken:
        if chunk and (len(chunk) == _ROWS or size + len(each.data) > _BATCH_BYTES):
            yield _record_batch(chunk, schema)
            chunk, size = [], 0
        chunk.append(each)
        size += len(each.data)
    if chunk:
        yield _record_batch(chunk, schema)


def _record_batch(chunk: list[Taken], schema: pa.Schema) -> pa.RecordBatch:
    # Column by column in C: while Python runs here, no decoding thread can begin its next file.
    columns: dict[str, Iterable[Any]] = dict(
        zip(_LISTED, zip(*(_listed(each.row) for each in chunk), strict=True), strict=True)
    )
    columns |= zip(
        _FOUND, zip(*(_found(each.measured) for each in chunk), strict=True), strict=True
    )
    columns["ingested_at"] = [each.at for each in chunk]
    arrays = [
        _views([each.data for each in chunk])
        if field.name == "image"
        else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _views(values: list[bytes]) -> pa.Array:
    """Make pictures a column without copying one: each is a buffer of its own.

    Source: https://arrow.apache.org/docs/format/Columnar.html#variable-size-binary-view-layout
    """
    if any(len(value) <= _INLINE for value in values):
        return pa.array(values, pa.binary_view())
    views = np.zeros(len(values), _VIEW)
    views["length"] = [len(value) for value in values]
    views["prefix"] = [value[:4] for value in values]
    views["buffer"] = np.arange(len(values))
    buffers = [None, pa.py_buffer(views), *map(pa.py_buffer, values)]
    return pa.Array.from_buffers(pa.binary_view(), len(values), buffers)

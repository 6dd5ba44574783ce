"""Read and measure the files of a batch in threads, in order, with bounded memory."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from boatseg_core.config import Settings
from boatseg_core.errors import ImageError
from boatseg_core.imaging.measure import Measurements, measure
from boatseg_core.ingest.sources import Fetch, Limits, Refusal, Row, Source, reads

# In flight, that is read or being read and not yet handed on. Enough that the decoding threads have
# work while the writer finishes a row group, little enough not to matter.
_FILES = 256
_BYTES = 64 * 2**20
# One Arrow batch handed to the writer.
_ROWS = 64
_BATCH_BYTES = 16 * 2**20

_HEAD = 64  # bytes of a refused file that are kept, enough to see what it really is
_MEASURED = frozenset(Measurements.__dataclass_fields__)


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


def outcomes(source: Source, rows: Iterable[Row], settings: Settings) -> Iterator[Outcome]:
    """Read and measure files, in the order in which the source reads them.

    Args:
        source: Source all the rows are from.
        rows: Rows of the ledger.
        settings: Threads, and the bounds of files and pictures.

    Raises:
        InputError: The source cannot be reached.
    """
    threads = settings.decode.threads or os.cpu_count() or 1
    max_pixels, mode = settings.decode.max_pixels, settings.decode.mode
    waiting: deque[tuple[int, Future[Outcome]]] = deque()
    held = 0
    with ExitStack() as stack:
        readers = stack.enter_context(_pool(source.readers, "read")) if source.readers else None
        decoders = stack.enter_context(_pool(threads, "decode"))
        for row, fetch in reads(source, rows, Limits.of(settings.landing)):
            # Reading ahead has threads of its own where it means waiting for a network.
            ready = readers.submit(fetch).result if readers else fetch
            waiting.append(
                (row["size_bytes"], decoders.submit(_outcome, row, ready, max_pixels, mode))
            )
            held += row["size_bytes"]
            while len(waiting) >= _FILES or (held > _BYTES and len(waiting) > 1):
                size, future = waiting.popleft()
                held -= size
                yield future.result()
        while waiting:
            yield waiting.popleft()[1].result()


def _outcome(row: Row, fetch: Fetch, max_pixels: int, mode: Literal["full", "entropy"]) -> Outcome:
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


@contextmanager
def _pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """A thread pool that drops what it has not begun when nobody wants the rest."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def record_batches(taken: Iterable[Taken], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Gather images into record batches of ``raw_images``, bounded in rows and bytes."""
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
    columns = [
        _blobs(_column(chunk, field.name))
        if field.name == "image"
        else pa.array(_column(chunk, field.name), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _blobs(values: list[bytes]) -> pa.Array:
    """Copy pictures into a column, once: Arrow's own builder copies what it has as it grows."""
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


def _column(chunk: list[Taken], name: str) -> list[Any]:
    if name == "image":
        return [each.data for each in chunk]
    if name == "ingested_at":
        return [each.at for each in chunk]
    if name in _MEASURED:
        return [getattr(each.measured, name) for each in chunk]
    return [each.row[name] for each in chunk]

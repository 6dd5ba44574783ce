"""Read the files of batch after batch in threads, in order, ahead of whoever takes them.

While a batch is being committed, files of the next one are read and decoded already: otherwise the
processors would stand still at the end of every batch, waiting for the disk.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.imaging.measure import Mode
from boatseg_core.ingest.pictures import Outcome, outcome
from boatseg_core.ingest.sources import Fetch, Limits, Row, Source, open_source, reads
from boatseg_core.lake import Lake

# In flight, that is read or being read and not yet handed on, of all batches together. Enough that
# the decoding threads have work while the writer finishes a row group or commits, little enough not
# to matter.
_FILES = 512
_BYTES = 64 * 2**20
# Read and decoded one after the other by one thread: handing over costs as much for many as for
# one, and every hand-over keeps the decoding threads from Python for a moment.
_CHUNK_FILES = 8
_CHUNK_BYTES = 2**20


@dataclass(eq=False, slots=True)
class _Asked:
    """A few files that were asked for together.

    Attributes:
        files: Their number.
        size: Their size in bytes.
        outcomes: What becomes of them, in order.
        reads: Their bytes, where reading has threads of its own.
    """

    files: int
    size: int
    outcomes: Future[list[Outcome]]
    reads: list[Future[bytes]]

    def cancel(self) -> None:
        """Let go of them, unless they are being read or decoded already."""
        self.outcomes.cancel()
        for read in self.reads:
            read.cancel()


@dataclass(eq=False)
class _Batch:
    """A batch of which files are being read.

    Attributes:
        sealed: Its rows of the ledger.
        left: What is still to be asked for; ``None`` when nothing is.
        unasked: How many files that is.
        waiting: Files asked for, in order.
        error: Why no more of it can be read.
        taken: Whether somebody has begun to use it.
    """

    batch_id: str
    sealed: pl.DataFrame = field(default_factory=pl.DataFrame)
    left: Iterator[tuple[Row, Source, Fetch]] | None = None
    unasked: int = 0
    waiting: deque[_Asked] = field(default_factory=deque)
    error: Exception | None = None
    taken: bool = False


class Reading:
    """Batches being read, one after the other, by one pool of threads in bounded memory.

    Used as a context, by one thread at a time. What goes wrong with a batch is raised when that
    batch is taken, and stops no other one.

    Args:
        lake: The lake.
        settings: Threads, and the bounds of files and pictures.
        batch_ids: The batches that will be taken, in this order; some may be passed over.
    """

    def __init__(self, lake: Lake, settings: Settings, batch_ids: Sequence[str]) -> None:
        self._lake = lake
        self._settings = settings
        self._limits = Limits.of(settings.landing)
        self._to_come = deque(batch_ids)
        self._begun: deque[_Batch] = deque()
        self._files = self._bytes = 0
        self._threads = settings.decode.threads or os.cpu_count() or 1
        self._decoders = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")
        self._readers: ThreadPoolExecutor | None = None
        self._down: dict[str, InputError] = {}

    def __enter__(self) -> Reading:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What has not begun is dropped: nobody wants the rest. The reads first, for a decoding
        # thread may wait for one that is behind many others.
        if self._readers is not None:
            self._readers.shutdown(wait=False, cancel_futures=True)
        self._decoders.shutdown(cancel_futures=True)
        if self._readers is not None:
            self._readers.shutdown()

    def take(self, batch_id: str) -> tuple[pl.DataFrame, Iterator[Outcome]]:
        """Take a batch; those announced before it that were not taken are dropped.

        One that is taken again is read again from its first file, however far it was used before.

        Returns:
            Its rows of the ledger, and what became of each file, in the order in which the sources
            read them. Iterating raises InputError when a source cannot be reached.

        Raises:
            InputError: The ledger has no such batch, or its landing folder cannot be read.
        """
        while self._begun and (self._begun[0].taken or self._begun[0].batch_id != batch_id):
            self._drop(self._begun[0])
        if not self._begun:
            if batch_id in self._to_come:
                while self._to_come[0] != batch_id:
                    self._to_come.popleft()
                self._to_come.popleft()
            self._begin(batch_id)
        batch = self._begun[0]
        batch.taken = True
        self._fill()  # at once: whoever takes a batch has tables to open before its first file
        if batch.error is not None and not batch.waiting:
            self._drop(batch)
            raise batch.error
        return batch.sealed, self._outcomes(batch)

    def _outcomes(self, batch: _Batch) -> Iterator[Outcome]:
        try:
            while True:
                self._fill()
                if not batch.waiting:
                    break
                asked = batch.waiting.popleft()
                self._files, self._bytes = self._files - asked.files, self._bytes - asked.size
                yield from asked.outcomes.result()
            if batch.error is not None:
                raise batch.error
        finally:
            self._drop(batch)

    def _begin(self, batch_id: str) -> None:
        batch = _Batch(batch_id)
        self._begun.append(batch)
        try:
            batch.sealed = self._lake.read("files", batch_id=batch_id).sort("path")
            if batch.sealed.is_empty():
                raise InputError(
                    f"batch {batch_id} is not in the ledger: run the sensor or boatseg ingest"
                )
            names = batch.sealed["source"].unique().sort().to_list()
            sources = [open_source(name, self._settings) for name in names]
            for source in sources:
                self._check(source)
            batch.left, batch.unasked = self._reads(batch.sealed, sources), batch.sealed.height
        except Exception as error:  # raised when the batch is taken
            batch.error = error

    def _check(self, source: Source) -> None:
        """Raise if a source cannot be read; one that could not be is not waited for again."""
        if source.name in self._down:
            raise InputError(str(self._down[source.name]))
        try:
            source.check()
        except InputError as error:
            self._down[source.name] = error
            raise

    def _reads(
        self, sealed: pl.DataFrame, sources: list[Source]
    ) -> Iterator[tuple[Row, Source, Fetch]]:
        for source in sources:
            rows = sealed.filter(pl.col("source") == source.name).iter_rows(named=True)
            for row, fetch in reads(source, rows, self._limits):
                yield row, source, fetch

    def _fill(self) -> None:
        """Ask for files until enough are in flight: of this batch, then of the next one."""
        while self._files < _FILES and (self._bytes <= _BYTES or not self._files):
            batch = self._begun[-1]
            if batch.left is None:
                if len(self._begun) > 1 or not self._to_come:
                    return
                self._begin(self._to_come.popleft())
                continue
            self._ask(batch)

    def _ask(self, batch: _Batch) -> None:
        """Ask for the next few files of a batch."""
        assert batch.left is not None
        # At its end fewer and fewer, so that no thread is left with more work than the others.
        fair = min(batch.unasked, _FILES) // (4 * self._threads)
        most = max(1, min(_CHUNK_FILES, fair, _FILES - self._files))
        files: list[tuple[Row, Source, Fetch]] = []
        size = 0
        try:
            while len(files) < most and size < _CHUNK_BYTES:
                files.append(next(batch.left))
                size += files[-1][0]["size_bytes"]
        except StopIteration:
            batch.left = None
        except Exception as error:  # raised behind what was asked for before
            batch.left, batch.error = None, error
        if files:
            batch.unasked -= len(files)
            batch.waiting.append(self._submit(files, size))
            self._files, self._bytes = self._files + len(files), self._bytes + size

    def _submit(self, files: list[tuple[Row, Source, Fetch]], size: int) -> _Asked:
        decode = self._settings.decode
        reads: list[Future[bytes]] = []
        fetches: list[tuple[Row, Fetch]] = []
        for row, source, fetch in files:
            if source.readers:
                # Reading ahead has threads of its own where it means waiting for a network.
                if self._readers is None:
                    self._readers = ThreadPoolExecutor(source.readers, thread_name_prefix="read")
                reads.append(self._readers.submit(fetch))
                fetch = reads[-1].result
            fetches.append((row, fetch))
        made = self._decoders.submit(_outcomes, fetches, decode.max_pixels, decode.mode)
        return _Asked(len(files), size, made, reads)

    def _drop(self, batch: _Batch) -> None:
        if batch not in self._begun:
            return
        self._begun.remove(batch)
        for asked in batch.waiting:
            asked.cancel()
            self._files, self._bytes = self._files - asked.files, self._bytes - asked.size
        batch.waiting.clear()
        batch.left = None


def _outcomes(files: list[tuple[Row, Fetch]], max_pixels: int, mode: Mode) -> list[Outcome]:
    return [outcome(row, fetch, max_pixels, mode) for row, fetch in files]

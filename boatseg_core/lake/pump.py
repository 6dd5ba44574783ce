"""Produce the rows of a write in a thread of its own, a little ahead of the writer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import TracebackType

import pyarrow as pa

_DEPTH = 2  # record batches between producer and writer; each may hold megabytes of pictures
_POLL = 0.1  # s


class Pump:
    """Runs a reader's Python generator in a thread, with bounded read-ahead.

    Writing a row group releases the GIL for as long as its bytes take; meanwhile the generator
    goes on to hand pictures to its decoding threads.

    Args:
        reader: The stream; read once.

    Attributes:
        error: What the generator raised, if it did; iterating raises it, too.
    """

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.error: BaseException | None = None
        self._source = reader
        self._queue: queue.Queue[pa.RecordBatch | None] = queue.Queue(_DEPTH)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="lake-pump", daemon=True)

    def __enter__(self) -> Pump:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A writer that gave up no longer reads: the producer must not wait for it.
        self._stopped.set()
        self._thread.join()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._queue.get()) is not None:
            yield batch
        if self.error is not None:
            raise self.error

    def _produce(self) -> None:
        try:
            for batch in self._source:
                self._put(batch)
                if self._stopped.is_set():
                    return
        except BaseException as error:  # re-raised where the write was asked for
            self.error = error
        self._put(None)

    def _put(self, item: pa.RecordBatch | None) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return

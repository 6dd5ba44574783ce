"""Feed a Delta writer from a thread of its own."""

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

    delta-rs pulls a stream from inside its asynchronous run-time, where opening another Delta
    table panics. A generator that reads one table to fill another therefore must not run there.

    Args:
        reader: The stream; read once.

    Attributes:
        error: What the generator raised, if it did. The writer only sees it as text.
    """

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.error: BaseException | None = None
        self._source = reader
        self._queue: queue.Queue[pa.RecordBatch | None] = queue.Queue(_DEPTH)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="lake-pump", daemon=True)

    @property
    def reader(self) -> pa.RecordBatchReader:
        """The stream to hand to the writer."""
        return pa.RecordBatchReader.from_batches(self._source.schema, self._consume())

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

    def _consume(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._queue.get()) is not None:
            yield batch
        if self.error is not None:
            raise RuntimeError("the rows could not be produced")

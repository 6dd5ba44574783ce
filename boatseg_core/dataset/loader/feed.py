"""Brings encoded pictures to where they are decoded: row groups in the order they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from boatseg_core.dataset.loader.groups import Encoded, Groups, Spans, Stored
from boatseg_core.dataset.loader.index import Index
from boatseg_core.dataset.loader.order import Order

# Row groups read ahead of need: of an object store several, each of which mostly waits.
_AHEAD = 1
_AHEAD_REMOTE = 3


class Task(NamedTuple):
    """One image of a batch.

    Attributes:
        row: Row of the index.
        data: Its pictures, or where they stand; ``None`` where the decoded cache has them.
        near: Whether the crop is cut around a boat.
        seed: Seeds the crop.
    """

    row: int
    data: Encoded | Stored | None
    near: bool
    seed: int


def feed(
    groups: Groups,
    index: Index,
    order: Order,
    batches: Sequence[range],
    cached: npt.NDArray[np.bool_] | None,
) -> Iterator[list[Task]]:
    """Iterate over batches with their pictures, still encoded.

    What is held are the rows of ``batches`` that were read and are not used up, which the order
    bounds, and the row groups read ahead.

    Args:
        groups: Where to read.
        index: The split.
        order: The epoch.
        batches: Places of the epoch in each batch that is ours.
        cached: bool ``[N]``: rows that need not be read.
    """
    places = np.concatenate([np.arange(b.start, b.stop) for b in batches] or [np.arange(0)])
    rows = order.rows[places]
    needed = rows if cached is None else rows[~cached[rows]]
    uses = np.bincount(needed, minlength=len(index))
    numbers, firsts = np.unique(index.group[needed], return_index=True)
    to_read = iter(numbers[np.argsort(firsts)].tolist())
    held: dict[int, Encoded | Stored] = {}
    reader = ThreadPoolExecutor(
        _AHEAD_REMOTE if groups.remote else 1, thread_name_prefix="read-gold"
    )
    ahead: deque[tuple[int, Future[Spans | pa.Table], list[int]]] = deque()
    span = _spans(index)

    def read_on() -> None:
        number = next(to_read, None)
        if number is not None:
            low, high = span[number], span[number + 1]
            wanted = (np.flatnonzero(uses[low:high]) + low).tolist()
            ahead.append((number, reader.submit(groups.open, number), wanted))

    try:
        for _ in range(1 + (_AHEAD_REMOTE if groups.remote else _AHEAD)):
            read_on()
        at = 0
        for batch in batches:
            tasks: list[Task] = []
            ours = places[at : at + len(batch)]
            each = (rows[at : at + len(batch)], order.near[ours], order.seeds[ours])
            for row, near, seed in zip(*(part.tolist() for part in each), strict=True):
                data = None
                if uses[row]:
                    while row not in held:
                        number, opened, wanted = ahead.popleft()
                        # Copied here, not by the reader: what a short-lived thread allocates
                        # comes from an arena of its own, which memory is slow to return from.
                        held.update(groups.rows(number, opened.result(), wanted))
                        del opened
                        read_on()
                    data = held[row]
                    uses[row] -= 1
                    if not uses[row]:
                        del held[row]
                tasks.append(Task(row, data, near, seed))
            at += len(batch)
            yield tasks
    finally:
        # Also when nobody wants the rest: what is being read is finished, and nothing is begun.
        reader.shutdown(wait=False, cancel_futures=True)


def _spans(index: Index) -> npt.NDArray[np.int64]:
    """First row of the index of each row group, and the end."""
    groups = np.arange(len(index.group_file) + 1)
    return np.searchsorted(index.group, groups)

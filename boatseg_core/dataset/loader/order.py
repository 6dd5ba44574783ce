"""The order of an epoch: a function of the data and the seed alone, never of who reads it.

Row groups are visited in random order and mixed through a buffer. Which row leaves the buffer when
does not depend on reading: the size of a row is taken to be the mean of its row group, which the
Parquet footer tells. So the whole epoch is known before the first byte of a picture is read; ranks
and workers take strided parts of its batches, and resuming is a matter of starting further on.

Random numbers are the raw output of PCG64, which NumPy keeps the same for ever; its distributions
and permutations it does not (NEP 19).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from boatseg_core.dataset.loader.index import Index

Rows = npt.NDArray[np.int64]

ORDER_VERSION: Final = 1
"""Counts up with every change of the order, of the sampling or of the choice of crops: what goes on
from a state of another version would not see the data it was to see."""

_RAMP = 8  # part of a row group that leaves the buffer before the next is read while it fills
_MOST = 16_384  # rows in the buffer, however small they are: what an order costs stays bounded


@dataclass(frozen=True, slots=True)
class Order:
    """One epoch.

    Attributes:
        rows: int64 ``[N]``: row of the index at each place of the epoch.
        near: bool ``[N]``: whether the crop is to be cut around a boat.
        seeds: uint64 ``[N]``: seeds the crop.
    """

    rows: Rows
    near: npt.NDArray[np.bool_]
    seeds: npt.NDArray[np.uint64]


def stored(index: Index, seed: int) -> Order:
    """Every image once, in the order of the table."""
    bits = _bits(seed, 0, index.version)
    rows = np.arange(len(index), dtype=np.int64)
    return Order(rows, np.zeros(len(rows), dtype=np.bool_), bits.random_raw(len(rows)))


def shuffled(
    index: Index,
    *,
    seed: int,
    epoch: int,
    images: int,
    boat_share: float | None,
    centred: float,
    buffer_bytes: int,
) -> Order:
    """Draw the images of an epoch and their order.

    Args:
        index: The split; it has images with boats if ``boat_share`` asks for them.
        seed: Seed.
        epoch: Number of the epoch.
        images: Images in it. Each image of a kind is drawn equally often, or once more.
        boat_share: Share of images with boats; ``None`` for what the split has.
        centred: Share of the crops of images with boats that are cut around a boat.
        buffer_bytes: Size of the buffer, in bytes.
    """
    bits = _bits(seed, epoch, index.version)
    everything = np.arange(len(index), dtype=np.int64)
    if boat_share is None:
        drawn = _draw(bits, everything, images)
    else:
        boats = round(images * boat_share)
        drawn = np.concatenate(
            [
                _draw(bits, everything[index.boats], boats),
                _draw(bits, everything[~index.boats], images - boats),
            ]
        )
    drawn.sort()  # by row group, since the rows of an index are
    rows = np.concatenate([drawn[:0], *_mixed(bits, index, drawn, buffer_bytes)])
    luck = bits.random_raw(len(rows)) >> np.uint64(11)
    near = index.boats[rows] & (luck < np.uint64(round(centred * 2**53)))
    return Order(rows, near, bits.random_raw(len(rows)))


def _mixed(bits: np.random.PCG64, index: Index, drawn: Rows, buffer_bytes: int) -> Iterator[Rows]:
    groups = index.group[drawn]
    ends = np.flatnonzero(np.diff(groups, append=-1)) + 1
    parts = np.split(drawn, ends[:-1]) if len(drawn) else []
    pool, before = drawn[:0], 0
    for number in permutation(bits, len(parts)):
        part = parts[number]
        weights = index.row_bytes[pool]
        room = buffer_bytes - index.row_bytes[part].sum()
        leaving = permutation(bits, len(pool))
        # As many as make room, and while the buffer fills a few, so that the first batch does not
        # wait for all of it to be read.
        kept = weights.sum() - np.cumsum(weights[leaving])
        count = min(len(pool), int((kept > room).sum()) + 1) if weights.sum() > room else 0
        count = min(len(pool), max(count, len(pool) + len(part) - _MOST, before // _RAMP))
        yield pool[leaving[:count]]
        pool = np.concatenate([pool[leaving[count:]], part])
        before = len(part)
    yield pool[permutation(bits, len(pool))]


def permutation(bits: np.random.PCG64, count: int) -> Rows:
    """A random order of ``count`` things."""
    return np.argsort(bits.random_raw(count), kind="stable")


def _draw(bits: np.random.PCG64, rows: Rows, count: int) -> Rows:
    """Draw so many, each as often as any other, or once more."""
    if not count:
        return rows[:0]
    times, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, times), rows[permutation(bits, len(rows))[:rest]]])


def _bits(seed: int, epoch: int, version: int) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence([seed, epoch, version]))


def shuffle_quality(places: npt.ArrayLike) -> dict[str, float]:
    """Say how far an order is from a uniform shuffle; 1 is as far apart as uniform, 0 is sorted.

    Args:
        places: ``[N]`` integers: the stored place of the image at each place of the epoch, each
            of 0 to N - 1 once.

    Returns:
        ``neighbours``: mean distance in the epoch of two images stored beside each other, and
        ``displacement``: mean distance of an image from its stored place, each over N / 3, which
        is what a uniform shuffle has.
    """
    order = np.asarray(places, dtype=np.int64)
    count = len(order)
    at = np.empty(count, dtype=np.int64)
    at[order] = np.arange(count)
    return {
        "neighbours": float(np.abs(np.diff(at)).mean() / (count / 3)),
        "displacement": float(np.abs(at - np.arange(count)).mean() / (count / 3)),
    }

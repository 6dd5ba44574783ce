"""Find pairs of tile fingerprints that are the same place, without comparing all pairs.

Locality-sensitive hashing (Indyk & Motwani, STOC 1998): two fingerprints are compared only if they
agree in one of 96 keys of 16 bits. A key is a pair of the fingerprint's 32 bytes; the pairs are six
rounds of a round-robin tournament, so that no two keys share both bytes and each byte is in six.

Measured on 4,700 textured tiles of generated windows, each compressed at JPEG qualities 75 to 95:
half of the tiles differ in at most 18 of 256 bits, 99.9 % of the worst pair of qualities (80 and
85) in at most 64. Of these 99.5 % agree in a key; of all other pairs of qualities, 99.8 % or more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from boatseg_core.imaging.fingerprint import BYTES, Fingerprints

MAX_DISTANCE: Final = 72
"""Most differing bits of 256 between two fingerprints of one tile."""

MAX_BUCKET: Final = 512
"""A key that more fingerprints of one block share is a pattern and says nothing about a place."""

_ROUNDS: Final = 6
_KEYS: Final = 2**16
# Fingerprints looked through at once: a key of each is 512 kB, which a core's cache holds.
_BLOCK: Final = 2**18
# New fingerprints looked up at once: with more, every key would be taken.
_QUERY: Final = 2**14
_DEDUPLICATE: Final = 16  # tables

Pairs = npt.NDArray[np.int64]


def _tournament(players: int, rounds: int) -> list[tuple[int, int]]:
    """Pairs of the first rounds of a round robin, by the circle method (Kirkman, 1847)."""
    circle = players - 1
    return [
        pair
        for r in range(rounds)
        for pair in [
            (r % circle, circle),
            *(((r + k) % circle, (r - k) % circle) for k in range(1, players // 2)),
        ]
    ]


TABLES: Final = tuple(_tournament(BYTES, _ROUNDS))
"""Positions of the two bytes that make each key."""


def similar_pairs(prints: Fingerprints, first: int = 0) -> Pairs:
    """List pairs of similar fingerprints.

    Looking new fingerprints up among ``N`` takes passes over the ``N`` and no stored index, so that
    there is nothing to keep up to date: some 0.3 µs each for the tiles of 1,000 new images.

    Args:
        prints: uint8 ``[N, 32]``; all-zero rows are skipped.
        first: Only pairs with at least one member at this index or later are wanted.

    Returns:
        int64 ``[P, 2]`` with ascending members, each pair once, sorted.
    """
    textured = np.flatnonzero(np.ascontiguousarray(prints).view(np.uint64).any(axis=1))
    known = prints[textured]
    # By columns, since a key is made from two of them.
    columns = np.ascontiguousarray(known.T)
    start = int(np.searchsorted(textured, first))
    found = np.concatenate(
        [np.zeros((0, 2), dtype=np.int64)]
        + [
            textured[_matches(known, columns, low, min(low + _QUERY, len(known)))]
            for low in range(start, len(known), _QUERY)
        ]
    )
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _matches(known: Fingerprints, columns: Fingerprints, low: int, high: int) -> Pairs:
    """Pair each of the rows from ``low`` to ``high`` with the similar ones before it."""
    words = known.view(np.uint64)
    codes = np.zeros(0, dtype=np.int64)
    for start in range(0, len(TABLES), _DEDUPLICATE):
        found = [codes]
        for a, b in TABLES[start : start + _DEDUPLICATE]:
            bucket = _Buckets(_key(columns, a, b, low, high))
            for block in range(0, high, _BLOCK):
                keys = _key(columns, a, b, block, min(block + _BLOCK, high))
                for hits, members in bucket.look_up(keys):
                    left, right = hits + block, members + low
                    near = (_distance(words, left, right) <= MAX_DISTANCE) & (left < right)
                    found.append(left[near] * len(known) + right[near])
        codes = np.unique(np.concatenate(found))  # one pair turns up in many tables
    return np.stack(np.divmod(codes, len(known)), axis=1)


class _Buckets:
    """The rows that are looked for, by key."""

    def __init__(self, keys: npt.NDArray[np.uint16]) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._size = np.bincount(keys, minlength=_KEYS)
        self._start = np.cumsum(self._size) - self._size
        self._size[self._size > MAX_BUCKET] = 0
        self._taken = self._size > 0

    def look_up(
        self, keys: npt.NDArray[np.uint16]
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Positions in ``keys`` and of the rows that have the same key."""
        hits = np.flatnonzero(np.take(self._taken, keys))
        crowd = np.bincount(keys[hits], minlength=_KEYS)
        if crowd.max(initial=0) > MAX_BUCKET:
            hits = hits[crowd[keys[hits]] <= MAX_BUCKET]
        depth = 0
        while len(hits):  # almost every bucket has one member: seldom more than three turns
            yield hits, self._order[self._start[keys[hits]] + depth]
            depth += 1
            hits = hits[self._size[keys[hits]] > depth]


def _key(columns: Fingerprints, a: int, b: int, low: int, high: int) -> npt.NDArray[np.uint16]:
    return columns[a, low:high].astype(np.uint16) << np.uint16(8) | columns[b, low:high]


def _distance(
    words: npt.NDArray[np.uint64], left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint16]:
    """Differing bits of rows of uint64 ``[N, 4]``."""
    bits = np.bitwise_count(np.take(words, left, axis=0) ^ np.take(words, right, axis=0))
    # A sum along so short an axis takes ten times as long.
    return np.asarray(bits[:, 0].astype(np.uint16) + bits[:, 1] + bits[:, 2] + bits[:, 3])

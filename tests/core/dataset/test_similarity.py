from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boatseg_core.dataset.similarity import MAX_DISTANCE, similar_pairs


def flipped(print_: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros(256, dtype=np.uint8)
    mask[rng.choice(256, bits, replace=False)] = 1
    return print_ ^ np.packbits(mask)


def brute_force(prints: np.ndarray) -> set[tuple[int, int]]:
    distance = np.bitwise_count(prints[:, None] ^ prints[None]).sum(axis=2)
    near = np.argwhere(np.triu(distance <= MAX_DISTANCE, 1))
    return {(int(a), int(b)) for a, b in near if prints[a].any() and prints[b].any()}


def components(pairs: set[tuple[int, int]], count: int) -> list[int]:
    label = list(range(count))
    for _ in range(count):
        for a, b in pairs:
            label[a] = label[b] = min(label[a], label[b])
    return label


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 10))
def test_finds_what_comparing_all_pairs_finds(seed: int, places: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (places, 32), dtype=np.uint8)
    prints = np.stack([flipped(base[i % places], bits, rng) for i in range(3 * places)])
    prints[rng.integers(0, len(prints))] = 0

    found = {(int(a), int(b)) for a, b in similar_pairs(prints)}

    expected = brute_force(prints)
    assert found <= expected
    # Copies are chained, and a single pair may be missed: what counts is who ends up together.
    together = components(found, len(prints)), components(expected, len(prints))
    agree = np.mean([a == b for a, b in zip(*together, strict=True)])
    # Two prints differ in up to 20 bits, the median of recompressed tiles: 16 equal bits in a row
    # of 16 are then found with a probability of 0.99.
    assert agree >= 0.9


def test_unrelated_prints_are_not_paired() -> None:
    prints = np.random.default_rng(1).integers(0, 256, (3000, 32), dtype=np.uint8)

    assert len(similar_pairs(prints)) == 0


def test_only_pairs_with_a_new_member_are_listed() -> None:
    rng = np.random.default_rng(2)
    base = rng.integers(0, 256, 32, dtype=np.uint8)
    prints = np.stack([flipped(base, 5, rng) for _ in range(6)])

    pairs = similar_pairs(prints, first=4)

    assert len(pairs)
    assert all(max(pair) >= 4 for pair in pairs.tolist())


@pytest.mark.parametrize("first", [0, 4999])
def test_many_copies_are_chained_not_squared(first: int) -> None:
    prints = np.tile(np.arange(1, 33, dtype=np.uint8), (5000, 1))

    pairs = similar_pairs(prints, first)

    assert len(pairs) == 4999

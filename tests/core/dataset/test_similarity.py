from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boatseg_core.dataset import similarity
from boatseg_core.dataset.similarity import MAX_DISTANCE, TABLES, similar_pairs


def flipped(print_: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros(256, dtype=np.uint8)
    mask[rng.choice(256, bits, replace=False)] = 1
    return print_ ^ np.packbits(mask)


def brute_force(prints: np.ndarray) -> set[tuple[int, int]]:
    distance = np.bitwise_count(prints[:, None] ^ prints[None]).sum(axis=2)
    near = np.argwhere(np.triu(distance <= MAX_DISTANCE, 1))
    return {(int(a), int(b)) for a, b in near if prints[a].any() and prints[b].any()}


@settings(deadline=None, max_examples=40)  # 96 tables of 65,536 keys, however few prints
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 10))
def test_finds_what_comparing_all_pairs_finds(seed: int, places: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (places, 32), dtype=np.uint8)
    prints = np.stack([flipped(base[i % places], bits, rng) for i in range(3 * places)])
    prints[rng.integers(0, len(prints))] = 0

    found = {(int(a), int(b)) for a, b in similar_pairs(prints)}

    expected = brute_force(prints)
    assert found <= expected
    # With up to 20 flipped bits of 256 the chance to miss a pair is below one in ten thousand.
    assert len(found) >= 0.99 * len(expected)


def test_of_tiles_as_far_apart_as_recompression_takes_them_few_are_missed() -> None:
    """Half of the tiles differ in at most 18 bits, 90 % in 35, 99 % in 50."""
    rng = np.random.default_rng(4)
    base = rng.integers(0, 256, (2000, 32), dtype=np.uint8)
    for bits, recall in ((20, 1.0), (35, 0.99), (50, 0.8)):
        prints = np.concatenate([base, [flipped(print_, bits, rng) for print_ in base]])

        found = similar_pairs(prints.astype(np.uint8))

        assert (found[:, 1] - found[:, 0] == 2000).all()
        assert len(found) >= recall * 2000, bits


def test_pairs_are_found_across_blocks_and_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    base = rng.integers(0, 256, (300, 32), dtype=np.uint8)
    prints = np.concatenate([base, [flipped(print_, 15, rng) for print_ in base]]).astype(np.uint8)
    whole = similar_pairs(prints)
    monkeypatch.setattr(similarity, "_BLOCK", 64)
    monkeypatch.setattr(similarity, "_QUERY", 48)

    assert (similar_pairs(prints) == whole).all()
    assert len(whole) == 300


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
def test_a_pattern_that_thousands_share_is_not_squared(first: int) -> None:
    prints = np.tile(np.arange(1, 33, dtype=np.uint8), (5000, 1))

    assert len(similar_pairs(prints, first)) == 0


def test_the_tables_share_no_pair_of_bytes_and_use_each_byte_as_often() -> None:
    assert len({frozenset(pair) for pair in TABLES}) == len(TABLES) == 96
    assert set(np.bincount(np.array(TABLES).ravel())) == {6}

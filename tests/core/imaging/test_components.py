from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from boatseg_core.imaging import components


def paint(mask: np.ndarray) -> np.ndarray:
    """Region number plus one of every pixel."""
    runs = components.find(mask)
    labels = np.zeros(mask.shape, dtype=np.int64)
    for column, row, length, region in zip(
        runs.column, runs.row, runs.length, runs.region, strict=True
    ):
        assert not labels[row : row + length, column].any()
        labels[row : row + length, column] = region + 1
    return labels


def by_scipy(mask: np.ndarray) -> np.ndarray:
    ndimage = pytest.importorskip("scipy.ndimage")
    labels, _ = ndimage.label(mask.T, structure=np.ones((3, 3)))  # numbered column-major
    return labels.T


@settings(max_examples=300, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_any_mask_equals_scipy(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(paint(mask), by_scipy(mask))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.41, 0.5, 0.8])
def test_noise_equals_scipy(share: float) -> None:
    # 0.41 is near where 8-connected noise percolates: long, winding regions.
    mask = np.random.default_rng(3).random((211, 307)) < share
    np.testing.assert_array_equal(paint(mask), by_scipy(mask))


def test_spiral_is_one_region() -> None:
    mask = np.zeros((61, 61), dtype=bool)
    row = column = 0
    mask[0, 0] = True
    step, length, turn = [(0, 1), (1, 0), (0, -1), (-1, 0)], 60, 0
    while length > 0:
        for _ in range(1 if turn == 0 else 2):
            for _ in range(length):
                row, column = row + step[turn % 4][0], column + step[turn % 4][1]
                mask[row, column] = True
            turn += 1
        length -= 2 if turn > 1 else 0
    assert components.find(mask).regions == by_scipy(mask).max()


@given(st.integers(1, 9), st.integers(1, 9))
def test_full_and_empty(height: int, width: int) -> None:
    assert components.find(np.ones((height, width), dtype=bool)).regions == 1
    assert components.find(np.zeros((height, width), dtype=bool)).regions == 0


def test_corners_connect_and_column_ends_do_not() -> None:
    assert components.find(np.eye(5, dtype=bool)).regions == 1
    ends = np.zeros((4, 3), dtype=bool)
    ends[3, 0] = ends[0, 1] = True  # neighbours in column-major order, far apart in the picture
    assert components.find(ends).regions == 2

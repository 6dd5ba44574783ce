from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boatseg_core.errors import RleError
from boatseg_core.imaging import rle
from boatseg_core.labels import coco_rle, polygons

# Made by pycocotools 2.0.11: frPyObjects of the parts, merge, counts.
PYCOCOTOOLS = json.loads((Path(__file__).parent / "pycocotools.json").read_text())


def painted(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    flat = np.zeros(height * width, dtype=bool)
    for start, length in runs.tolist():
        assert not flat[start : start + length].any()
        flat[start : start + length] = True
    return flat.reshape(width, height).T


@pytest.mark.parametrize("number", range(len(PYCOCOTOOLS)))
def test_coco_polygons_are_those_of_pycocotools_bit_for_bit(number: int) -> None:
    case = PYCOCOTOOLS[number]
    height, width = case["height"], case["width"]
    parts = [np.array(part).reshape(-1, 2) for part in case["polygon"]]
    runs = polygons.union([polygons.fill_coco(part, height, width) for part in parts])
    assert coco_rle.to_string(runs, height, width) == case["counts"]


def inside(rings: list[list[tuple[Fraction, Fraction]]], x: Fraction, y: Fraction) -> bool:
    """Even-odd by a ray upwards, in exact fractions."""
    crossings = 0
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
            if min(x0, x1) <= x < max(x0, x1):
                crossings += y0 + (x - x0) / (x1 - x0) * (y1 - y0) <= y
    return crossings % 2 == 1


QUARTERS = st.integers(-20, 100).map(lambda n: n / 4)
RING = st.lists(st.tuples(QUARTERS, QUARTERS), min_size=3, max_size=7)


@given(st.lists(RING, min_size=1, max_size=3), st.integers(1, 16), st.integers(1, 20))
def test_a_pixel_belongs_to_a_polygon_when_its_centre_is_inside(
    rings: list[list[tuple[float, float]]], height: int, width: int
) -> None:
    exact = [[(Fraction(x), Fraction(y)) for x, y in ring] for ring in rings]
    half = Fraction(1, 2)
    expected = [
        [inside(exact, column + half, row + half) for column in range(width)]
        for row in range(height)
    ]
    runs = polygons.fill_even_odd([np.array(ring) for ring in rings], height, width)
    np.testing.assert_array_equal(painted(runs, height, width), expected)


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none_out() -> None:
    corner, middle = np.array([[0, 0], [8, 0], [8, 6], [0, 6]], dtype=float), [3.5, 2.5]
    parts = [
        painted(polygons.fill_even_odd([np.array([a, b, middle])], 6, 8), 6, 8)
        for a, b in zip(corner, np.roll(corner, -1, axis=0), strict=True)
    ]
    np.testing.assert_array_equal(np.sum(parts, axis=0), np.ones((6, 8)))


def test_a_hole_is_not_part_of_its_polygon() -> None:
    outer = np.array([[1, 1], [7, 1], [7, 7], [1, 7]], dtype=float)
    hole = np.array([[3, 3], [5, 3], [5, 5], [3, 5]], dtype=float)
    mask = painted(polygons.fill_even_odd([outer, hole], 8, 8), 8, 8)
    assert mask.sum() == 36 - 4
    assert not mask[3:5, 3:5].any()


@pytest.mark.parametrize("far", [1e6, 1e12, 1e300])
def test_outlines_far_beyond_the_image_cost_no_memory(far: float) -> None:
    huge = np.array([[-far, -far], [far, -far], [far, far], [-far, far]])
    assert painted(polygons.fill_even_odd([huge], 4, 5), 4, 5).all()
    if far > 1e7:
        with pytest.raises(RleError, match="beyond the image") as caught:
            polygons.fill_coco(huge, 4, 5)
        assert caught.value.reason == "too_complex"


def test_an_outline_that_goes_to_and_fro_for_ever_is_refused() -> None:
    zigzag = np.array([[(i % 2) * 20_000.0, i] for i in range(4000)])
    for fill in (
        lambda: polygons.fill_even_odd([zigzag], 4000, 20_000),
        lambda: polygons.fill_coco(zigzag, 4000, 20_000),
    ):
        with pytest.raises(RleError) as caught:
            fill()
        assert caught.value.reason == "too_complex"


def test_crossing_edges_are_found_and_touching_ones_are_not() -> None:
    bow = np.array([[0, 0], [4, 4], [4, 0], [0, 4]], dtype=float)
    eight = np.array([[0, 0], [2, 2], [4, 0], [4, 4], [2, 2], [0, 4]], dtype=float)
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], dtype=float)
    angle = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    circle = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    crossed = circle.copy()
    crossed[[10, 2000]] = crossed[[2000, 10]]
    assert [polygons.crosses_itself(p) for p in (bow, eight, square, circle, crossed)] == [
        True,
        False,
        False,
        False,
        True,
    ]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=12))
def test_merging_runs_covers_the_same_pixels_with_gaps_between(
    pairs: list[tuple[int, int]],
) -> None:
    runs = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    covered = {pixel for start, length in pairs for pixel in range(start, start + length)}
    merged = rle.merge(runs).tolist()
    assert [p for start, length in merged for p in range(start, start + length)] == sorted(covered)
    ends = [start + length for start, length in merged]
    assert all(end < start for end, (start, _) in zip(ends, merged[1:], strict=False))

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.labels.raster import rasterize


@st.composite
def objects(draw: st.DrawFn) -> tuple[list[np.ndarray], int, int]:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 150))
    masks = []
    for _ in range(draw(st.integers(0, 5))):
        mask = np.zeros((height, width), dtype=bool)
        for _ in range(draw(st.integers(1, 3))):
            y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            mask[y : y + draw(st.integers(1, 40)), x : x + draw(st.integers(1, 150))] = True
        masks.append(mask)
    return masks, height, width


@given(objects())
def test_mask_areas_boxes_and_overlap_equal_those_of_painted_objects(
    case: tuple[list[np.ndarray], int, int],
) -> None:
    masks, height, width = case
    raster = rasterize([rle.encode(mask) for mask in masks], height, width)
    depth = np.sum(masks, axis=0, dtype=int) if masks else np.zeros((height, width), dtype=int)
    np.testing.assert_array_equal(raster.mask(), depth > 0)
    np.testing.assert_array_equal(decode_mask(raster.encode()), depth > 0)
    assert raster.areas == [int(mask.sum()) for mask in masks]
    assert raster.area == int((depth > 0).sum())
    assert raster.overlap_pixels == int((depth > 1).sum())
    assert raster.rejected == []
    for (x, y, w, h), mask in zip(raster.boxes, masks, strict=True):
        ys, xs = np.nonzero(mask)
        assert (x, y) == (xs.min(), ys.min())
        assert (w, h) == (np.ptp(xs) + 1, np.ptp(ys) + 1)


@pytest.mark.parametrize("rles", [[], [""], ["", " "]])
def test_no_object_is_an_all_black_mask(rles: list[str]) -> None:
    raster = rasterize(rles, 5, 9)
    assert not decode_mask(raster.encode()).any()
    assert decode_mask(raster.encode()).shape == (5, 9)
    assert (raster.areas, raster.boxes, raster.area, raster.rejected) == ([], [], 0, [])


def test_unusable_rows_are_listed_and_the_good_ones_painted() -> None:
    raster = rasterize(["1 2", "9 9 9", "90 1", "1 2 2 1", "x", "4 1"], 3, 3)
    assert [(item.index, item.reason) for item in raster.rejected] == [
        (1, "odd_length"),
        (2, "out_of_bounds"),
        (3, "overlapping_runs"),
        (4, "not_integers"),
    ]
    assert raster.areas == [2, 1]
    assert raster.area == 3


def test_a_run_over_all_columns() -> None:
    raster = rasterize(["1 700"], 7, 100)
    assert raster.mask().all()
    assert raster.boxes == [[0, 0, 100, 7]]


def test_a_run_that_turns_the_corner_covers_the_full_height_of_the_box() -> None:
    raster = rasterize(["3 2"], 3, 4)  # bottom of column 0, top of column 1
    assert raster.boxes == [[0, 0, 2, 3]]


def test_jpeg_is_the_same_mask_after_its_threshold() -> None:
    mask = np.zeros((64, 80), dtype=bool)
    mask[10:30, 20:61] = True
    raster = rasterize([rle.encode(mask)], 64, 80)
    data = raster.encode("jpeg")
    assert data[:2] == b"\xff\xd8"
    np.testing.assert_array_equal(decode_mask(data), mask)


def test_three_on_one_pixel_count_once_as_overlap() -> None:
    raster = rasterize(["1 4", "2 3", "3 1"], 5, 1)
    assert (raster.overlap_pixels, raster.area) == (3, 4)


def moments(mask: np.ndarray) -> tuple[list[float], float]:
    """Centroid and orientation pixel by pixel, from the definition."""
    ys, xs = np.nonzero(mask)
    x, y = xs - xs.mean(), ys - ys.mean()
    across, both = (x * x).sum() - (y * y).sum(), 2 * (x * y).sum()
    if abs(across) < 1e-6 and abs(both) < 1e-6:
        return [xs.mean(), ys.mean()], 0.0
    return [xs.mean(), ys.mean()], float(np.degrees(np.arctan2(both, across)) / 2)


@given(objects())
def test_centroids_orientations_and_run_lengths_equal_those_of_the_pixels(
    case: tuple[list[np.ndarray], int, int],
) -> None:
    masks, height, width = case
    raster = rasterize([rle.encode(mask) for mask in masks], height, width)
    assert raster.rles == [rle.encode(mask) for mask in masks]
    for mask, centroid, degrees in zip(masks, raster.centroids, raster.orientations, strict=True):
        middle, expected = moments(mask)
        np.testing.assert_allclose(centroid, middle, rtol=0, atol=1e-9)
        assert -90 < degrees <= 90
        apart = abs(degrees - expected) % 180
        assert min(apart, 180 - apart) < 1e-6


def test_orientation_is_clockwise_from_the_x_axis() -> None:
    down_right, down_left = np.eye(9, dtype=bool), np.eye(9, dtype=bool)[:, ::-1]
    flat, upright = np.zeros((9, 9), dtype=bool), np.zeros((9, 9), dtype=bool)
    flat[4, 1:8] = upright[1:8, 4] = True
    masks = [down_right, down_left, flat, upright, np.ones((9, 9), dtype=bool)]
    raster = rasterize([rle.encode(mask) for mask in masks], 9, 9)
    assert raster.orientations == pytest.approx([45, -45, 0, 90, 0])
    assert raster.centroids == [[4, 4]] * 5


def test_shapes_of_objects_too_high_for_whole_numbers() -> None:
    height = 4_000_000
    raster = rasterize([f"1 {height}", f"{height - 1} 4"], height, 2)
    assert raster.centroids[0] == [0, (height - 1) / 2]
    assert raster.orientations[0] == pytest.approx(90)
    assert raster.centroids[1] == pytest.approx([0.5, (height - 1) / 2])
    assert raster.orientations[1] == pytest.approx(-90, abs=1e-3)


def test_runs_that_touch_are_written_as_one() -> None:
    assert rasterize(["5 2 1 2 3 1 9 1"], 3, 4).rles == ["1 3 5 2 9 1"]

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from boatseg_core.imaging import components, rle
from boatseg_core.imaging.neck import REACH, distance, split
from boatseg_core.inference.prediction import from_logits

MASK = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16))


def hull(y: float, x: float, half_length: float, half_width: float, degrees: float = 0):
    rows, columns = np.mgrid[:120, :240]
    turn = math.radians(degrees)
    along = (columns - x) * math.cos(turn) + (rows - y) * math.sin(turn)
    across = (rows - y) * math.cos(turn) - (columns - x) * math.sin(turn)
    return (along / half_length) ** 2 + (across / half_width) ** 2 < 1


def parts(mask: np.ndarray, neck: float, min_area: int = 30) -> list[int]:
    return sorted(np.bincount(split(mask, neck=neck, min_area=min_area).ravel())[1:].tolist())


TOUCHING = {
    "end to end": [(60, 70, 40, 12, 0), (60, 148, 40, 12, 0)],
    "bow to bow": [(60, 70, 40, 8, 20), (90, 85, 40, 8, -20)],
    "corner": [(40, 60, 14, 14, 0), (60, 79, 14, 14, 0)],
}


@pytest.mark.parametrize("name", TOUCHING)
def test_boats_that_touch_are_told_apart_where_they_meet(name):
    hulls = [hull(*one) for one in TOUCHING[name]]
    mask = hulls[0] | hulls[1]
    assert components.find(mask).regions == 1
    labels = split(mask, neck=0.7, min_area=30)
    assert (labels > 0).tolist() == mask.tolist() and labels.max() == 2
    for one in hulls:
        ious = [
            np.count_nonzero((labels == k) & one) / np.count_nonzero((labels == k) | one)
            for k in (1, 2)
        ]
        assert max(ious) > 0.9


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_one_hull_stays_whole_however_it_lies(degrees):
    assert len(parts(hull(60, 120, 50, 9, degrees), 0.7)) == 1
    assert len(parts(hull(60, 120, 12, 4, degrees), 0.7)) == 1


def test_a_rectangle_has_no_neck():
    # Its middle is a long ridge of equal heights: many summits, one boat.
    for height, width in ((7, 60), (8, 60), (20, 20), (3, 90)):
        assert parts(np.ones((height, width), bool), 0.9) == [height * width]


def test_the_share_decides():
    dumbbell = hull(60, 60, 14, 14) | hull(60, 100, 14, 14)
    dumbbell[52:69, 60:100] = True  # a bar of 17 between discs of 27: 9 of 14
    assert len(parts(dumbbell, 0.5)) == 1
    assert len(parts(dumbbell, 0.8)) == 2


def test_parts_too_small_for_the_sieve_are_not_cut_off():
    mask = hull(60, 70, 40, 12) | hull(60, 113, 4, 4)
    assert len(parts(mask, 0.9, min_area=10)) == 2
    assert parts(mask, 0.9, min_area=60) == [np.count_nonzero(mask)]


@settings(deadline=None, max_examples=150)
@given(MASK, st.sampled_from([0.2, 0.6, 0.95]), st.integers(0, 9))
def test_any_mask_is_divided_and_nothing_else(mask, neck, min_area):
    labels = split(mask, neck=neck, min_area=min_area)
    np.testing.assert_array_equal(labels > 0, mask)
    whole, cut = components.find(mask), components.find(mask, neck=neck, min_area=min_area)
    np.testing.assert_array_equal(components.paint(cut, mask.shape) > 0, mask)
    assert cut.regions >= whole.regions
    assert sorted(np.unique(cut.region)) == list(range(cut.regions))
    for region in range(cut.regions):
        part = components.paint(cut, mask.shape) == region + 1
        assert components.find(part).regions == 1  # each part hangs together
        of = components.paint(whole, mask.shape)[part]
        assert len(set(of.tolist())) == 1  # and lies in one region
        if np.count_nonzero(part) < min_area:  # only a region that was smaller from the start
            assert np.count_nonzero(components.paint(whole, mask.shape) == of[0]) < 2 * min_area
    # Runs in column-major order, numbered by first pixel, as without cutting.
    start = cut.column * mask.shape[0] + cut.row
    assert (np.diff(start) > 0).all()
    firsts = [int(np.flatnonzero(cut.region == k)[0]) for k in range(cut.regions)]
    assert firsts == sorted(firsts)


def test_the_answer_has_each_part_with_its_own_figures():
    hulls = [hull(*one) for one in TOUCHING["end to end"]]
    logits = np.where(hulls[0], 2.0, np.where(hulls[1], 4.0, -9.0)).astype(np.float32)
    whole = from_logits(logits, threshold=0.5, min_area=30)
    cut = from_logits(logits, threshold=0.5, min_area=30, split_neck=0.6)
    assert (whole.boat_count, cut.boat_count) == (1, 2)
    np.testing.assert_array_equal(whole.mask(), cut.mask())
    assert cut.boat_area == whole.boat_area
    assert cut.scores == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-4))], abs=0.01)
    for text, (x, y, w, h), area in zip(cut.rles, cut.boxes, cut.areas, strict=True):
        one = rle.decode(text, *logits.shape)
        rows, columns = np.nonzero(one)
        assert (x, y, w, h) == (
            columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1,
        )  # fmt: skip
        assert one.sum() == area


@settings(deadline=None, max_examples=100)
@given(MASK)
def test_distances_equal_scipy(mask):
    ndimage = pytest.importorskip("scipy.ndimage")
    padded = np.pad(mask, 1)
    np.testing.assert_allclose(distance(padded), ndimage.distance_transform_edt(padded))


def test_distances_end_at_the_reach():
    ndimage = pytest.importorskip("scipy.ndimage")
    padded = np.pad(np.ones((200, 170), bool), 1)
    padded[60, 80] = False
    np.testing.assert_allclose(
        distance(padded), np.minimum(ndimage.distance_transform_edt(padded), REACH)
    )


def test_rings_in_rings_cost_one_picture():
    # 150 regions whose boxes all cover the picture: one by one they would cost 150 pictures.
    rows, columns = np.mgrid[:600, :600]
    rings = (np.maximum(abs(rows - 300), abs(columns - 300)) % 2).astype(bool)
    start = time.perf_counter()
    assert components.find(rings, neck=0.5, min_area=30).regions == components.find(rings).regions
    assert time.perf_counter() - start < 5

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from boatseg_core.imaging import rle
from boatseg_core.inference.calibration import ScoreCalibration
from boatseg_core.inference.prediction import from_logits


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
        elements=st.sampled_from([-9.0, -1.0, 0.5, 3.0]),
    )
)
def test_objects_tell_the_mask_exactly(logits: np.ndarray) -> None:
    prediction = from_logits(logits, threshold=0.5, min_area=0)
    np.testing.assert_array_equal(prediction.mask(), logits > 0)
    assert prediction.boat_area == int((logits > 0).sum())
    for text, (x, y, w, h), area, score in zip(
        prediction.rles, prediction.boxes, prediction.areas, prediction.scores, strict=True
    ):
        one = rle.decode(text, *logits.shape)
        assert rle.encode(one) == text  # canonical: adjacent runs are merged
        rows, columns = np.nonzero(one)
        assert (columns.min(), rows.min()) == (x, y)
        assert (columns.max() - x + 1, rows.max() - y + 1) == (w, h)
        assert one.sum() == area
        assert score == pytest.approx(float((1 / (1 + np.exp(-logits[one]))).mean()), abs=1e-6)


def test_small_regions_are_dropped_and_the_threshold_counts() -> None:
    logits = np.full((10, 10), -5.0, dtype=np.float32)
    logits[1:4, 1:4] = 1.0  # probability 0.73, 9 pixels
    logits[8, 8] = 5.0
    kept = from_logits(logits, threshold=0.5, min_area=9)
    assert kept.areas == [9]
    assert kept.boxes == [[1, 1, 3, 3]]
    assert from_logits(logits, threshold=0.5, min_area=10).boat_count == 0
    assert from_logits(logits, threshold=0.8, min_area=0).boxes == [[8, 8, 1, 1]]


def test_extreme_logits_and_nan_stay_quiet() -> None:
    logits = np.array([[1e30, -1e30, np.nan, np.inf]], dtype=np.float32)
    with np.errstate(all="raise"):
        prediction = from_logits(logits, threshold=0.5, min_area=0)
    assert prediction.boxes == [[0, 0, 1, 1], [3, 0, 1, 1]]
    assert prediction.scores == [1.0, 1.0]


def test_a_calibration_gives_the_score_and_the_mean_probability_stays() -> None:
    logits = np.full((12, 12), -5.0, dtype=np.float32)
    logits[1:4, 1:5] = 2.0
    logits[2, 2] = 4.0
    logits[8:10, 8] = 50.0  # counts as 16
    plain = from_logits(logits, threshold=0.5, min_area=0)
    assert plain.scores == plain.means
    assert plain.mean_logits == pytest.approx([26 / 12, 16.0])
    weights = ScoreCalibration(bias=-3.0, slope=0.5)
    scored = from_logits(logits, threshold=0.5, min_area=0, calibration=weights)
    assert scored.scores == pytest.approx([1 / (1 + np.exp(3 - 13 / 12)), 1 / (1 + np.exp(-5))])
    assert (scored.means, scored.rles) == (plain.means, plain.rles)


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
        elements=st.sampled_from([-9.0, -1.0, 0.5, 3.0]),
    )
)
def test_mean_logits_agree_with_plain_loops(logits: np.ndarray) -> None:
    found = from_logits(logits, threshold=0.5, min_area=0, split_neck=0.6)
    labels = found.labels()
    for number, mean in enumerate(found.mean_logits, start=1):
        assert mean == pytest.approx(logits[labels == number].mean(), abs=1e-6)

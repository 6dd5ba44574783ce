from __future__ import annotations

import math

import numpy as np
import pytest

from boatseg_core.inference.prediction import from_logits
from boatseg_core.metrics import IouAccumulator
from boatseg_core.metrics.curves import (
    BINS,
    GRID,
    ObjectCurve,
    PixelCurves,
    ScoreReliability,
    bins,
    expected_error,
    probabilities,
)

CASES = [(seed, seed % 3 == 0) for seed in range(6)]


def case(seed: int, empty: bool) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(-3, 4, (19, 23)).astype(np.float32)
    truth = np.zeros(logits.shape, bool) if empty else logits + generator.normal(0, 2) > 1
    if empty:
        logits -= 4
    return logits, truth


def test_every_threshold_equals_predicting_again_with_it():
    curves = PixelCurves()
    again = [IouAccumulator() for _ in GRID]
    for seed, empty in CASES:
        logits, truth = case(seed, empty)
        # Right on the edges, where rounding would show.
        logits[0, :9] = [math.log(p / (1 - p)) for p in GRID[9::10]]
        curves.update(logits, truth)
        for threshold, accumulator in zip(GRID, again, strict=True):
            found = from_logits(logits, threshold=float(threshold), min_area=0)
            accumulator.update(found.mask(), truth)
    for row, accumulator in zip(curves.thresholds(), again, strict=True):
        expected = accumulator.compute()
        for name in ("per_image_iou", "dataset_iou", "boat_iou", "empty_false_positive_rate"):
            assert row[name] == pytest.approx(expected[name]), (row["threshold"], name)


def test_calibration_agrees_with_plain_loops():
    curves, pairs = PixelCurves(), []
    for seed, empty in CASES:
        logits, truth = case(seed, empty)
        curves.update(logits, truth)
        pairs += list(zip(logits.ravel().tolist(), truth.ravel().tolist(), strict=True))
    chances = [(1 / (1 + math.exp(-x)), t) for x, t in pairs]

    def ece(cases):
        total = 0.0
        for at in range(BINS):
            # (k/20, (k+1)/20], since above the threshold is above, not on it
            inside = [(p, t) for p, t in cases if math.ceil(p * BINS) - 1 == at]
            if inside:
                gap = sum(p for p, _ in inside) - sum(t for _, t in inside)
                total += abs(gap)
        return total / len(cases)

    found = curves.calibration()
    assert found["ece"] == pytest.approx(ece(chances), rel=1e-4)
    assert found["ece_above_1_percent"] == pytest.approx(
        ece([(p, t) for p, t in chances if p > 0.01]), rel=1e-4
    )
    assert found["brier"] == pytest.approx(sum((p - t) ** 2 for p, t in chances) / len(chances))
    assert sum(row["count"] for row in found["bins"]) == len(pairs)
    # The sea hides the error: that is why there are two numbers.
    assert found["ece"] < found["ece_above_1_percent"]


def test_a_model_that_tells_the_truth_is_calibrated():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (400, 400)).astype(np.float32)
    curves = PixelCurves()
    curves.update(logits, generator.random(logits.shape) < probabilities(logits))
    assert curves.calibration()["ece"] < 0.01
    boastful = PixelCurves()
    boastful.update(logits * 4, generator.random(logits.shape) < probabilities(logits))
    assert boastful.calibration()["ece"] > 0.1


def test_nothing_seen_is_nothing_said():
    curves = PixelCurves()
    assert curves.calibration()["ece"] is None and curves.calibration()["brier"] is None
    assert {row["per_image_iou"] for row in curves.thresholds()} == {None}
    assert ScoreReliability().compute()["ece"] is None
    assert ObjectCurve((0.5,)).compute()[0]["f2"] is None
    with pytest.raises(ValueError, match="differ"):
        curves.update(np.zeros((2, 3), np.float32), np.zeros((3, 2), bool))


def test_extreme_logits_are_probabilities():
    found = probabilities(np.array([-1e30, -200, 0, 200, 1e30], np.float32))
    assert found.tolist() == [0, 0, 0.5, 1, 1]


def test_scores_of_objects():
    scores = ScoreReliability()
    scores.update([0.62, 0.64, 1.0], [True, False, True])
    scores.update([], [])
    found = scores.compute()
    assert found["ece"] == pytest.approx((2 * abs(0.63 - 0.5) + 0) / 3)
    assert found["bins"][6]["count"] == 2 and found["bins"][-1]["accuracy"] == 1
    assert found["brier"] == pytest.approx((0.38**2 + 0.64**2) / 3)
    # One of two: Wilson's interval by hand.
    assert found["bins"][6]["low"] == pytest.approx(0.0945, abs=1e-3)
    assert found["bins"][6]["high"] == pytest.approx(0.9055, abs=1e-3)
    assert found["bins"][0]["low"] is None


def test_few_objects_are_never_calibrated_and_that_is_said():
    generator = np.random.default_rng(0)

    def honest(count: int) -> dict[str, float]:
        scores = ScoreReliability()
        chances = generator.random(count)
        scores.update(chances, generator.random(count) < chances)
        return scores.compute()

    few, many = honest(30), honest(30_000)
    assert few["ece_by_chance"] > 0.1 > 0.01 > many["ece_by_chance"]
    assert many["ece"] < 3 * many["ece_by_chance"]
    boastful = ScoreReliability()
    boastful.update(np.full(1000, 0.9), generator.random(1000) < 0.5)
    found = boastful.compute()
    assert found["ece"] == pytest.approx(0.4, abs=0.05) and found["ece_by_chance"] < 0.02


def test_expected_error_weighs_by_cases():
    rows = bins(np.array([9.0, 0, 1]), np.array([0.0, 0, 1]), np.array([0.9, 0, 0.5]))
    assert expected_error(rows) == pytest.approx(0.9 * 0.1 + 0.1 * 0.5)
    assert rows[1]["accuracy"] is None


def test_object_curve_averages_over_images():
    curve = ObjectCurve((0.3, 0.6))
    curve.update([(5, 5, 0), (5, 0, 0)], [0.5, 1.0])
    curve.update([(0, 3, 0), (0, 0, 0)], [0.0, 1.0])
    low, high = curve.compute()
    assert (low["f2"], low["boat_iou"], low["empty_false_positive_rate"]) == (0.25, 0.5, 1.0)
    assert (high["f2"], high["boat_iou"], high["empty_false_positive_rate"]) == (1.0, 1.0, 0.0)

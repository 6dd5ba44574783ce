from __future__ import annotations

import math

import numpy as np
import pytest

from boatseg_core.metrics import bootstrap
from boatseg_core.metrics.bootstrap import intervals


def mean_of(values: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {"mean": (values, np.ones_like(values))}


def test_agrees_with_scipy_where_every_image_is_a_group():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).exponential(1, 60)
    found = intervals(np.arange(60), mean_of(values), draws=20_000)["mean"]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.04 * width)
    # A skewed mean: the interval leans to the side of the long tail, which a symmetric one cannot.
    assert found.high - found.value > found.value - found.low


def test_groups_are_drawn_whole():
    # Twenty places with ten equal images each are twenty pieces of evidence, not two hundred.
    values = np.repeat(np.random.default_rng(0).normal(0.5, 0.1, 20), 10)
    by_group = intervals(np.repeat(np.arange(20), 10), mean_of(values))["mean"]
    by_place = intervals(np.arange(20), mean_of(values[::10]))["mean"]
    by_image = intervals(np.arange(200), mean_of(values))["mean"]
    assert (by_group.low, by_group.high) == pytest.approx((by_place.low, by_place.high))
    assert by_group.high - by_group.low > 2.5 * (by_image.high - by_image.low)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(5)
    held = 0
    for seed in range(200):
        boats = generator.random(80) < 0.5
        ious = np.where(boats, generator.beta(4, 2, 80), 0)
        found = intervals(
            np.arange(80), {"iou": (ious, boats.astype(float))}, draws=400, seed=seed
        )["iou"]
        held += found.low <= 4 / 6 <= found.high
    assert 180 <= held <= 199  # 95 % of 200, and three deviations


def test_the_seed_decides_and_order_of_chunks_does_not(monkeypatch):
    values = np.random.default_rng(0).random(30)
    first = intervals(np.arange(30), mean_of(values), seed=3)
    assert intervals(np.arange(30), mean_of(values), seed=3) == first
    assert intervals(np.arange(30), mean_of(values), seed=4) != first
    monkeypatch.setattr(bootstrap, "_HELD", 64)
    again = intervals(np.arange(30), mean_of(values), seed=3)["mean"]
    assert (again.low, again.high) == pytest.approx((first["mean"].low, first["mean"].high))


def test_no_false_alarm_in_nine_places_is_no_proof_of_none():
    groups = np.repeat(np.arange(9), 3)
    nothing = {"alarms": (np.zeros(27), np.ones(27))}
    found = intervals(groups, nothing, rates=("alarms",))["alarms"]
    # The exact binomial bound for 0 of 9 (Clopper and Pearson): 1 - 0.025 ** (1/9).
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(0.3363, abs=1e-4)
    always = intervals(groups, {"alarms": (np.ones(27), np.ones(27))}, rates=("alarms",))["alarms"]
    assert (always.low, always.high) == (pytest.approx(1 - 0.3363, abs=1e-4), 1)
    assert intervals(groups, nothing)["alarms"].high == 0


def test_too_little_to_say_anything():
    ones = np.ones(4)
    found = intervals(["a", "a", "a", "b"], {"x": ([1, 2, 3, 9], [1, 1, 1, 0]), "y": (ones, ones)})
    assert found["x"].groups == 1 and found["x"].value == pytest.approx(5)
    assert math.isnan(found["x"].low) and found["x"].as_dict()["low"] is None
    assert (found["y"].low, found["y"].high) == (1, 1)
    none = intervals([], {"x": ([], [])})["x"]
    assert math.isnan(none.value) and none.groups == 0


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="3 images"):
        intervals([1, 2, 3], {"x": ([1, 2], [1, 1])})
    for wrong in ({"draws": 0}, {"confidence": 1.0}):
        with pytest.raises(ValueError, match="draws"):
            intervals([1], {"x": ([1], [1])}, **wrong)

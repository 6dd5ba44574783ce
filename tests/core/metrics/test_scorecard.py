from __future__ import annotations

import math

import numpy as np
import pytest

from boatseg_core.metrics import IouAccumulator, pixel_counts
from boatseg_core.metrics.conditions import UNKNOWN, conditions
from boatseg_core.metrics.objects import overlap
from boatseg_core.metrics.scorecard import Scorecard


def label(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    labels = np.zeros((40, 50), np.int32)
    for number, (y, x, height, width) in enumerate(boxes, start=1):
        labels[y : y + height, x : x + width] = number
    return labels


IMAGES = [
    # group, truth, prediction
    ("a", [(0, 0, 10, 10)], [(0, 0, 10, 9)]),
    ("a", [(0, 0, 30, 20), (0, 30, 5, 5)], [(0, 0, 30, 20)]),
    ("b", [(0, 0, 30, 20)], []),
    ("b", [], [(5, 5, 3, 3)]),
    ("c", [], []),
    ("d", [], []),
]


@pytest.fixture
def card() -> Scorecard:
    card = Scorecard()
    for number, (group, truth, found) in enumerate(IMAGES):
        t, p = label(truth), label(found)
        card.update(f"image-{number}", group, pixel_counts(p, t), overlap(p, [t] if truth else []))
    return card


def by_mask() -> dict[str, float]:
    accumulator = IouAccumulator()
    for _, truth, found in IMAGES:
        accumulator.update(label(found), label(truth))
    return accumulator.compute()


def nothing() -> Scorecard:
    card = Scorecard()
    for number, (group, truth, _) in enumerate(IMAGES):
        t, p = label(truth), label([])
        card.update(f"image-{number}", group, pixel_counts(p, t), overlap(p, [t]))
    return card


def test_values_are_those_of_the_metrics(card):
    expected, found = by_mask(), card.headlines(draws=50)
    for name in ("boat_iou", "empty_false_positive_rate", "per_image_iou", "dataset_iou"):
        assert found[name].interval.value == pytest.approx(expected[name])
    assert found["per_image_iou"].floor == expected["floor_per_image_iou"] == 0.5
    assert found["large_boat_iou"].interval.value == 0  # image 1 has a small boat as well
    assert found["recall"].interval.value == pytest.approx(2 / 4)
    assert found["precision"].interval.value == pytest.approx(2 / 3)
    # 0.9 overlap hits 8 of 10 thresholds; one of two boats found is 5 / (5 + 4).
    assert found["boat_f2"].interval.value == pytest.approx((0.8 + 5 / 9 + 0) / 3)
    assert found["f2"].interval.value == pytest.approx((0.8 + 5 / 9 + 0 + 0 + 1 + 1) / 6)


def test_floors_are_what_predicting_nothing_scores(card):
    real, empty = card.headlines(draws=50), nothing().headlines(draws=50)
    for name, one in real.items():
        assert one.floor == pytest.approx(empty[name].interval.value, nan_ok=True), name
    gain = real["per_image_iou"].gain
    assert gain.value == pytest.approx(real["per_image_iou"].interval.value - 0.5)
    assert gain.low <= gain.value <= gain.high
    assert real["boat_iou"].gain is None


def test_perfect_in_three_places_is_no_proof_of_perfection():
    card = Scorecard()
    for number, boxes in enumerate([[(0, 0, 10, 10)], [(5, 5, 30, 20)], [(0, 30, 12, 5)]]):
        labels = label(boxes)
        card.update(
            f"i{number}", f"g{number}", pixel_counts(labels, labels), overlap(labels, [labels])
        )
    # The exact binomial bound for 3 of 3 (Clopper and Pearson): 0.025 ** (1/3).
    for name, one in card.headlines(draws=50).items():
        if one.interval.groups == 3:  # of large boats there is but one
            assert one.interval.value == one.interval.high == 1, name
            assert one.interval.low == pytest.approx(0.2924, abs=1e-4)
    missed = nothing().headlines(draws=50)
    assert missed["recall"].interval.value == missed["recall"].interval.low == 0
    assert missed["recall"].interval.high > 0.8  # in two places with boats
    # It predicts nothing: what it gains over predicting nothing is no matter of chance.
    assert (missed["f2"].gain.low, missed["f2"].gain.high) == (0, 0)


def test_chosen_images_only(card):
    chosen = np.array([group == "b" for group, _, _ in IMAGES])
    found = card.headlines(chosen, ("boat_iou", "f2"), draws=50)
    assert set(found) == {"boat_iou", "f2"}
    assert found["f2"].interval.value == 0 and found["f2"].floor == 0.5
    assert math.isnan(found["f2"].interval.low)  # one group says nothing about others


def test_by_condition_every_image_counts_once(card):
    measured = {"brightness": [1, 2, 3, 4, 5, math.nan], "contrast": [7] * 6}
    ((condition, levels),) = card.by_condition(measured, draws=50)
    assert condition.name == "brightness"  # contrast does not differ
    assert [(name, images) for name, images, _ in levels] == [
        ("dark", 2), ("medium", 1), ("bright", 2), (UNKNOWN, 1),
    ]  # fmt: skip
    assert levels[0][2]["boat_iou"].interval.value == pytest.approx((0.9 + 600 / 625) / 2)
    assert levels[0][2]["per_image_iou"].floor == 0


def test_combinations_need_their_measurements():
    values = np.arange(9.0)
    found = {c.name: c for c in conditions({"brightness": values, "saturation": -values})}
    assert set(found) == {"brightness", "saturation", "haze or cloud"}
    assert found["haze or cloud"].level.tolist() == [0] * 6 + [1] * 3
    assert conditions({}) == []


def test_an_empty_card():
    found = Scorecard().headlines(draws=10)
    assert math.isnan(found["boat_iou"].interval.value) and found["boat_iou"].interval.groups == 0

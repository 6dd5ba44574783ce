from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boatseg_core.metrics.objects import F2_THRESHOLDS, SizeBins, f2, hits, overlap

SHAPE = (6, 7)
BOX = st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(1, 4), st.integers(1, 4))


def box(y: int, x: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[y : y + height, x : x + width] = True
    return mask


def disjoint(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.int32)
    for one in boxes:
        free = box(*one) & (labels == 0)
        if free.any():
            labels[free] = labels.max() + 1
    return labels


def layered(boxes: list[tuple[int, int, int, int]]) -> list[np.ndarray]:
    """A layer an object: objects may share pixels."""
    return [box(*one).astype(np.int32) for one in boxes]


def slow_f2(predicted: list[set[int]], true: list[set[int]]) -> float:
    """The challenge's page, read literally: the largest matching by trying all of them."""
    if not true:
        return 0.0 if predicted else 1.0
    scores = []
    for step in range(10):
        threshold = (50 + 5 * step) / 100
        best = 0
        small, large = sorted((predicted, true), key=len)
        for chosen in itertools.permutations(large, len(small)):
            pairs = zip(small, chosen, strict=True)
            best = max(best, sum(len(a & b) / len(a | b) > threshold for a, b in pairs))
        missed, extra = len(true) - best, len(predicted) - best
        scores.append(5 * best / (5 * best + 4 * missed + extra))
    return sum(scores) / len(scores)


@settings(deadline=None, max_examples=200)
@given(st.lists(BOX, max_size=4), st.lists(BOX, max_size=4))
def test_f2_agrees_with_a_literal_slow_implementation(predicted, true):
    labels, layers = disjoint(predicted), layered(true)
    found = overlap(labels, layers)
    as_sets = [set(np.flatnonzero(labels == k + 1)) for k in range(labels.max())]
    truth = [set(np.flatnonzero(layer)) for layer in layers]
    assert f2(hits(found.predicted), len(found.predicted), len(found.true)) == pytest.approx(
        slow_f2(as_sets, truth)
    )


@given(st.lists(BOX, max_size=5), st.lists(BOX, max_size=5))
def test_overlaps_are_the_best_ious(predicted, true):
    labels, truth = disjoint(predicted), disjoint(true)
    found = overlap(labels, [truth])

    def iou(a, b):
        return np.count_nonzero(a & b) / np.count_nonzero(a | b)

    ps = [labels == k for k in range(1, labels.max() + 1)]
    ts = [truth == k for k in range(1, truth.max() + 1)]
    assert found.predicted == pytest.approx([max((iou(p, t) for t in ts), default=0) for p in ps])
    assert found.true == pytest.approx([max((iou(p, t) for p in ps), default=0) for t in ts])
    assert found.true_areas.tolist() == [t.sum() for t in ts]


def test_layers_do_not_mind_how_objects_are_spread_over_them():
    boxes = [(0, 0, 2, 2), (3, 3, 2, 3), (0, 5, 1, 1)]
    labels = disjoint([(0, 0, 2, 3), (3, 3, 2, 2)])
    one, many = overlap(labels, [disjoint(boxes)]), overlap(labels, layered(boxes))
    assert (one.predicted == many.predicted).all() and (one.true == many.true).all()


def test_an_iou_on_the_threshold_is_no_hit():
    # 2 of 4 pixels: the IoU is 0.5 exactly, and the challenge asks for more.
    found = overlap(disjoint([(0, 0, 1, 2)]), [disjoint([(0, 0, 1, 4)])])
    assert found.predicted.tolist() == [0.5]
    assert hits(found.predicted).tolist() == [0] * 10
    assert f2(hits(np.array([1.0])), 1, 1) == 1.0
    assert [round(t, 2) for t in F2_THRESHOLDS.tolist()] == [
        0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
    ]  # fmt: skip


def test_images_without_objects_are_all_or_nothing():
    nothing, something = np.zeros(SHAPE, np.int32), disjoint([(0, 0, 2, 2), (4, 4, 1, 1)])
    for true in ([], [nothing]):
        assert f2(hits(overlap(nothing, true).predicted), 0, 0) == 1
        found = overlap(something, true)
        assert f2(hits(found.predicted), len(found.predicted), 0) == 0


def test_known_value_of_the_all_empty_answer():
    # The challenge's training set: 192,556 images, 150,000 of them without a ship.
    score = (150_000 * f2(np.zeros(10, int), 0, 0) + 42_556 * f2(np.zeros(10, int), 0, 1)) / 192_556
    assert score == pytest.approx(0.77899, abs=1e-5)


def test_one_prediction_over_two_boats_is_one_hit_at_most():
    whole = disjoint([(0, 0, 2, 6)])
    found = overlap(whole, [disjoint([(0, 0, 2, 5), (0, 5, 2, 1)])])
    assert hits(found.predicted)[0] == 1  # 10 of 12 pixels
    assert f2(hits(found.predicted), 1, 2) == pytest.approx(7 / 10 * 5 / 9)  # hits up to 0.8


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="differ"):
        overlap(np.zeros((2, 3), int), [np.zeros((3, 2), int)])


def test_size_bins_count_what_is_found():
    sizes = SizeBins((0, 4, 10))
    truth = disjoint([(0, 0, 1, 3), (0, 4, 2, 2), (3, 0, 3, 4)])  # 3, 4 and 12 pixels
    sizes.update(overlap(disjoint([(0, 0, 1, 3), (3, 0, 3, 1)]), [truth]))
    rows = sizes.compute()
    assert [(row["from"], row["below"], row["objects"]) for row in rows] == [
        (0, 4, 1), (4, 10, 1), (10, None, 1),
    ]  # fmt: skip
    assert [row["recall"] for row in rows] == [1, 0, 0]
    assert [row["touched"] for row in rows] == [1, 0, 1]
    assert [row["mean_iou"] for row in rows] == [1, 0, 0.25]
    assert SizeBins().compute()[0]["recall"] is None
    with pytest.raises(ValueError, match="ascend"):
        SizeBins((5, 3))

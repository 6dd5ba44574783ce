from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from boatseg_core.metrics import IouAccumulator, iou, pixel_counts, selection_score

MASK = arrays.arrays(np.bool_, (4, 5), elements=st.booleans())
EMPTY = st.just(np.zeros((4, 5), dtype=bool))
PAIRS = st.lists(st.tuples(MASK | EMPTY, MASK | EMPTY), max_size=8)


def slow(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The same summary from sets of pixels and plain loops."""
    each: list[float] = []
    boats: list[float] = []
    alarms: list[float] = []
    floor: list[float] = []
    shared = everything = 0
    for pred, truth in pairs:
        p = {(y, x) for y in range(4) for x in range(5) if pred[y, x]}
        t = {(y, x) for y in range(4) for x in range(5) if truth[y, x]}
        score = len(p & t) / len(p | t) if p | t else 1.0
        each.append(score)
        floor.append(0.0 if t else 1.0)
        if t:
            boats.append(score)
        else:
            alarms.append(1.0 if p else 0.0)
        shared += len(p & t)
        everything += len(p | t)

    def mean(values: list[float]) -> float:
        return sum(values) / len(values) if values else math.nan

    dataset = shared / everything if everything else (1.0 if pairs else math.nan)
    return {
        "per_image_iou": mean(each),
        "dataset_iou": dataset,
        "boat_iou": mean(boats),
        "empty_false_positive_rate": mean(alarms),
        "floor_per_image_iou": mean(floor),
        "floor_dataset_iou": (0.0 if boats else 1.0) if pairs else math.nan,
        "images": len(pairs),
        "boat_images": len(boats),
    }


def same(left: dict[str, float], right: dict[str, float]) -> bool:
    return left.keys() == right.keys() and all(
        left[key] == pytest.approx(right[key], abs=1e-12, nan_ok=True) for key in left
    )


@given(PAIRS)
def test_agrees_with_an_independent_slow_implementation(pairs):
    accumulator = IouAccumulator()
    for pred, truth in pairs:
        accumulator.update(pred, truth)
    assert same(accumulator.compute(), slow(pairs))


@given(PAIRS)
def test_the_floor_is_what_predicting_nothing_scores(pairs):
    real, nothing = IouAccumulator(), IouAccumulator()
    for pred, truth in pairs:
        real.update(pred, truth)
        nothing.update(np.zeros_like(truth), truth)
    metrics, floor = real.compute(), nothing.compute()
    assert metrics["floor_per_image_iou"] == pytest.approx(floor["per_image_iou"], nan_ok=True)
    assert metrics["floor_dataset_iou"] == pytest.approx(floor["dataset_iou"], nan_ok=True)
    assert selection_score(floor) == 0


@given(PAIRS, st.integers(0, 8))
def test_merging_parts_equals_the_whole(pairs, cut):
    whole, left, right = IouAccumulator(), IouAccumulator(), IouAccumulator()
    for index, (pred, truth) in enumerate(pairs):
        whole.update(pred, truth)
        (left if index < cut else right).update_counts(
            *([count] for count in pixel_counts(pred, truth))
        )
    assert same(right.merge(left).compute(), whole.compute())


@settings(max_examples=25, deadline=None)
@given(PAIRS.filter(bool))
def test_agrees_with_segmentation_models_pytorch(pairs):
    import torch
    from segmentation_models_pytorch.metrics import get_stats, iou_score

    accumulator = IouAccumulator()
    for pred, truth in pairs:
        accumulator.update(pred, truth)
    metrics = accumulator.compute()
    pred = torch.from_numpy(np.stack([p for p, _ in pairs])[:, None]).long()
    truth = torch.from_numpy(np.stack([t for _, t in pairs])[:, None]).long()
    stats = get_stats(pred, truth, mode="binary")
    per_image = iou_score(*stats, reduction="micro-imagewise", zero_division=1.0)
    assert metrics["per_image_iou"] == pytest.approx(float(per_image), abs=1e-6)
    if metrics["boat_images"] or metrics["empty_false_positive_rate"]:  # smp gives nan for 0 / 0
        dataset = iou_score(*stats, reduction="micro", zero_division=1.0)
        assert metrics["dataset_iou"] == pytest.approx(float(dataset), abs=1e-6)


def test_an_epoch_of_batches_is_smps_score_of_the_whole_epoch_and_not_a_mean_of_batches():
    import torch
    from segmentation_models_pytorch.metrics import get_stats, iou_score

    generator = torch.Generator().manual_seed(0)
    accumulator, stats, of_batches = IouAccumulator(), [], []
    for size in (5, 3, 7, 2):  # the last batch of an epoch is smaller
        share = torch.rand(size, 1, 1, 1, generator=generator)
        share[size // 2] = 0  # an empty image in each
        truth = (torch.rand(size, 1, 9, 11, generator=generator) < share).long()
        pred = (torch.rand(size, 1, 9, 11, generator=generator) < 0.9 * share).long()
        batch = get_stats(pred, truth, mode="binary")
        stats.append(batch)
        of_batches.append(float(iou_score(*batch, reduction="micro", zero_division=1.0)))
        accumulator.update_counts(*(column[:, 0].numpy() for column in batch[:3]))
    epoch = [torch.cat(columns) for columns in zip(*stats, strict=True)]
    metrics = accumulator.compute()
    for name, reduction in (("per_image_iou", "micro-imagewise"), ("dataset_iou", "micro")):
        expected = float(iou_score(*epoch, reduction=reduction, zero_division=1.0))
        assert metrics[name] == pytest.approx(expected, abs=1e-6)
    assert abs(metrics["dataset_iou"] - sum(of_batches) / len(of_batches)) > 0.01


@given(MASK | EMPTY, MASK | EMPTY)
def test_iou_is_symmetric_bounded_and_one_only_for_equal_masks(pred, truth):
    score = iou(pred, truth)
    assert 0 <= score <= 1
    assert score == iou(truth, pred)
    assert (score == 1) == bool((pred == truth).all())


def test_known_values():
    truth = np.zeros((10, 10), dtype=np.uint8)
    truth[2:6, 2:6] = 1
    shifted = np.zeros_like(truth)
    shifted[2:6, 4:8] = 255  # any non-zero is object
    empty = np.zeros_like(truth)
    assert iou(shifted, truth) == pytest.approx(8 / 24)
    accumulator = IouAccumulator()
    accumulator.update(shifted, truth)
    for _ in range(3):
        accumulator.update(empty, empty)
    metrics = accumulator.compute()
    assert metrics["per_image_iou"] == pytest.approx((8 / 24 + 3) / 4)
    assert metrics["boat_iou"] == metrics["dataset_iou"] == pytest.approx(8 / 24)
    assert metrics["floor_per_image_iou"] == 0.75
    assert metrics["empty_false_positive_rate"] == 0


def test_false_alarms_halve_the_selection_score():
    quiet = {"boat_iou": 0.6, "empty_false_positive_rate": 0.0}
    assert selection_score(quiet) == pytest.approx(0.6)
    assert selection_score({**quiet, "empty_false_positive_rate": 1.0}) == pytest.approx(0.3)
    assert selection_score({**quiet, "empty_false_positive_rate": math.nan}) == pytest.approx(0.6)
    assert selection_score({**quiet, "boat_iou": math.nan}) == 0


def test_refuses_what_cannot_be_counted():
    with pytest.raises(ValueError, match="differ in shape"):
        iou(np.zeros((2, 2), bool), np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="one length"):
        IouAccumulator().update_counts([1, 2], [0], [0, 0])
    with pytest.raises(ValueError, match="negative"):
        IouAccumulator().update_counts([1], [-1], [0])

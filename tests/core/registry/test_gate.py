from __future__ import annotations

import math

import pytest

from boatseg_core.inference.spec import ModelSpec
from boatseg_core.registry.gate import TOLERANCE, judge


def spec(
    iou: float | None = 0.5, score: float | None = 0.9, floor: float | None = 0.8
) -> ModelSpec:
    return ModelSpec(
        metrics={"boat_iou": iou, "per_image_iou": score, "floor_per_image_iou": floor}
    )


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (spec(score=0.8), "does not beat"),
        (spec(score=0.7), "does not beat"),
        (spec(score=None), "does not beat"),
        (spec(floor=None), "does not beat"),
        (spec(iou=0.19), "below the 0.200"),
        (spec(iou=None), "below the 0.200"),
        (spec(iou=math.nan), "below the 0.200"),
    ],
)
def test_useless_models_never_pass(candidate: ModelSpec, reason: str, force: bool) -> None:
    verdict = judge(candidate, None, min_boat_iou=0.2, force=force)
    assert not verdict.passed
    assert reason in verdict.reason


def test_the_first_useful_model_passes() -> None:
    verdict = judge(spec(), None, min_boat_iou=0.2)
    assert verdict.passed and not verdict.forced
    assert (verdict.boat_iou, verdict.floor) == (0.5, 0.8)


@pytest.mark.parametrize(
    ("iou", "passed"), [(0.6, True), (0.5, True), (0.4901, True), (0.48, False)]
)
def test_production_sets_the_bar_within_the_tolerance(iou: float, passed: bool) -> None:
    assert TOLERANCE == 0.01
    assert judge(spec(iou=iou), spec(iou=0.5), min_boat_iou=0.2).passed is passed


def test_force_overrules_production_alone() -> None:
    verdict = judge(spec(iou=0.3), spec(iou=0.5), min_boat_iou=0.2, force=True)
    assert verdict.passed and verdict.forced
    better = judge(spec(iou=0.6), spec(iou=0.5), min_boat_iou=0.2, force=True)
    assert better.passed and not better.forced


def test_a_production_without_metrics_can_be_replaced() -> None:
    assert judge(spec(), ModelSpec(), min_boat_iou=0.2).passed

from __future__ import annotations

import math

import pytest

from boatseg_core.config.sections import Registry
from boatseg_core.inference.spec import ModelSpec
from boatseg_core.registry.gate import judge

GATE = Registry()


def spec(
    iou: float | None = 0.5,
    score: float | None = 0.9,
    floor: float | None = 0.8,
    gold_version: int | None = None,
    **more: float,
) -> ModelSpec:
    """A version with these metrics; ``f2=(value, low, high)`` gives the interval as well."""
    metrics = {"boat_iou": iou, "per_image_iou": score, "floor_per_image_iou": floor}
    for name, value in more.items():
        name = {"alarms": "empty_false_positive_rate"}.get(name, name)
        ends = value if isinstance(value, tuple) else (value,)
        metrics |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=False))
    return ModelSpec(metrics=metrics, gold_version=gold_version)


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
    verdict = judge(candidate, None, GATE, force=force)
    assert verdict.reason.endswith("(force does not overrule this)")
    assert not verdict.passed
    assert reason in verdict.reason


def test_a_high_per_image_iou_alone_promotes_nothing() -> None:
    """It beats everything there is on the number that empty images decide, and finds little."""
    poor = spec(iou=0.15, score=0.99, f2=0.9, alarms=0.0)
    assert not judge(poor, None, GATE, force=True).passed
    worse = spec(iou=0.4, score=0.99, f2=0.5)
    assert not judge(worse, spec(iou=0.5, score=0.85, f2=0.5), GATE).passed


def test_the_first_useful_model_passes() -> None:
    verdict = judge(spec(f2=0.7), None, GATE)
    assert verdict.passed and not verdict.forced
    assert (verdict.boat_iou, verdict.floor) == (0.5, 0.8)
    assert verdict.reason == (
        "IoU on images with objects 0.500; F2 of objects 0.700; share of empty images with false "
        "alarms unknown; nothing was in production"
    )


@pytest.mark.parametrize(
    ("iou", "passed"), [(0.6, True), (0.5, True), (0.49, True), (0.4901, True), (0.48, False)]
)
def test_production_sets_the_bar_within_the_tolerance(iou: float, passed: bool) -> None:
    assert GATE.max_iou_drop == 0.01
    assert judge(spec(iou=iou), spec(iou=0.5), GATE).passed is passed
    assert judge(spec(iou=iou), spec(iou=0.5), Registry(max_iou_drop=0.05)).passed


@pytest.mark.parametrize(
    ("now", "before", "passed"),
    [
        ({"f2": 0.68}, {"f2": 0.7}, True),
        ({"f2": 0.67}, {"f2": 0.7}, False),
        ({"f2": (0.6, 0.5, 0.72)}, {"f2": 0.7}, True),  # chance explains it
        ({"f2": (0.6, 0.5, 0.69)}, {"f2": 0.7}, False),
        ({"f2": 0.9}, {"f2": 0.7}, True),
        ({}, {"f2": 0.7}, False),  # nobody can tell
        ({"f2": 0.1}, {}, True),  # production never measured it
        ({"alarms": 0.04}, {"alarms": 0.02}, True),
        ({"alarms": 0.05}, {"alarms": 0.02}, False),
        ({"alarms": (0.05, 0.0, 0.2)}, {"alarms": 0.02}, True),
        ({"alarms": (0.05, 0.03, 0.2)}, {"alarms": 0.02}, False),
        ({"alarms": 0.0}, {"alarms": 0.5}, True),
    ],
)
def test_objects_and_false_alarms_are_asked_for_too(
    now: dict[str, float], before: dict[str, float], passed: bool
) -> None:
    verdict = judge(spec(iou=0.9, **now), spec(iou=0.5, **before), GATE)
    assert verdict.passed is passed, verdict.reason
    wide = Registry(max_f2_drop=1, max_false_alarm_rise=1)
    if now:
        assert judge(spec(iou=0.9, **now), spec(iou=0.5, **before), wide).passed


def test_the_sentence_says_all_that_is_worse_and_by_how_much() -> None:
    verdict = judge(
        spec(iou=0.3, f2=(0.6, 0.5, 0.65), alarms=(0.3, 0.2, 0.4), gold_version=5),
        spec(iou=0.5, f2=0.7, alarms=0.1, gold_version=4),
        GATE,
    )
    assert verdict.reason == (
        "its IoU on images with objects, 0.300, is worse than production's 0.500 by more than the "
        "0.010 that registry.max_iou_drop allows; F2 of objects, 0.600 (interval 0.500 to 0.650), "
        "is worse than production's 0.700 by more than the 0.020 that registry.max_f2_drop allows; "
        "share of empty images with false alarms, 0.300 (interval 0.200 to 0.400), is worse than "
        "production's 0.100 by more than the 0.020 that registry.max_false_alarm_rise allows "
        "(measured on gold version 5, production on 4) (force promotes it all the same)"
    )


def test_the_sentence_says_where_chance_explains_it() -> None:
    verdict = judge(spec(f2=(0.6, 0.5, 0.75)), spec(f2=0.7), GATE)
    assert "F2 of objects 0.600, production has 0.700, which lies in its interval of 0.500" in (
        verdict.reason
    )


def test_force_overrules_production_alone() -> None:
    verdict = judge(spec(iou=0.3), spec(iou=0.5), GATE, force=True)
    assert verdict.passed and verdict.forced
    assert verdict.reason.startswith("forced, although its IoU")
    better = judge(spec(iou=0.6), spec(iou=0.5), GATE, force=True)
    assert better.passed and not better.forced


def test_a_production_without_metrics_can_be_replaced() -> None:
    assert judge(spec(), ModelSpec(), GATE).passed

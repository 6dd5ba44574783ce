"""Whether a version may go into production: a pure function of its test metrics.

No single number decides. A version has to be of use at all; then it is held against production on
pixels (IoU on images with objects), on objects (F2) and on the empty sea (false alarms), since each
of the three can be bought with the others.

On pixels the rule is strict: beyond the tolerance it is worse. The other two hang on fewer cases,
an object or an image each, and on a small test split they move by more than any tolerance from one
training to the next. They count as worse where they are beyond the tolerance *and* chance does not
explain it: production's value lies outside the version's own bootstrap interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boatseg_core.inference.spec import ModelSpec

if TYPE_CHECKING:
    from boatseg_core.config.sections import Registry


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        passed: Whether the version may be promoted.
        forced: Whether it passed only because it was forced.
        reason: Why, in a sentence.
        boat_iou: The version's mean IoU over test images with objects; NaN where unknown.
        floor: Score of a model that predicts nothing, on the same images; NaN where unknown.
    """

    passed: bool
    forced: bool
    reason: str
    boat_iou: float
    floor: float


@dataclass(frozen=True)
class _Rule:
    """One number that must not get worse.

    Attributes:
        name: In the metrics.
        what: What it is called in a sentence.
        setting: Setting that holds the tolerance.
        sign: 1 where more is better, -1 where less is.
        strict: Whether chance is no excuse.
    """

    name: str
    what: str
    setting: str
    sign: int
    strict: bool = False


_RULES = (
    _Rule("boat_iou", "IoU on images with objects", "max_iou_drop", 1, strict=True),
    _Rule("f2", "F2 of objects", "max_f2_drop", 1),
    _Rule(
        "empty_false_positive_rate",
        "share of empty images with false alarms",
        "max_false_alarm_rise",
        -1,
    ),
)

_FINAL = " (force does not overrule this)"

COMPARED = tuple(rule.name for rule in _RULES)
"""What a version is held against production on; each needs its interval, ``_low`` and ``_high``."""


def judge(
    candidate: ModelSpec,
    production: ModelSpec | None,
    gate: Registry,
    *,
    force: bool = False,
) -> Verdict:
    """Judge a version.

    It has to beat the model that predicts nothing, to reach ``min_boat_iou`` on images with
    objects, and not to be worse than the version in production by more than the settings allow.
    Force overrules the comparison alone: a model that finds nothing helps nobody.

    Args:
        candidate: The version's description.
        production: Description of the version in production, if any.
        gate: ``min_boat_iou``, ``max_iou_drop``, ``max_f2_drop`` and ``max_false_alarm_rise``.
        force: Promote it although production is better; nothing else is overruled.
    """
    iou, floor = candidate.metric("boat_iou"), candidate.metric("floor_per_image_iou")
    score = candidate.metric("per_image_iou")

    def say(passed: bool, reason: str, *, forced: bool = False) -> Verdict:
        return Verdict(passed, forced, reason, iou, floor)

    # Comparisons are written so that an unknown metric, which is NaN, never passes.
    if not score > floor:
        return say(
            False,
            f"its per-image IoU of {score:.3f} does not beat {floor:.3f}, the score of a model "
            f"that predicts nothing{_FINAL}",
        )
    if not iou >= gate.min_boat_iou:
        return say(
            False,
            f"its IoU of {iou:.3f} on images with objects is below the {gate.min_boat_iou:.3f} "
            f"that registry.min_boat_iou asks for{_FINAL}",
        )
    if production is None:
        told = [f"{rule.what} {_value(candidate, rule.name)}" for rule in _RULES]
        return say(True, f"{_listed(told)}; nothing was in production")
    compared = [_compare(rule, candidate, production, gate) for rule in _RULES]
    worse = [reason for reason, is_worse in compared if is_worse]
    elsewhere = _elsewhere(candidate, production)
    if not worse:
        return say(True, _listed([reason for reason, _ in compared if reason]) + elsewhere)
    if force:
        return say(True, f"forced, although its {_listed(worse)}{elsewhere}", forced=True)
    return say(False, f"its {_listed(worse)}{elsewhere} (force promotes it all the same)")


def _compare(
    rule: _Rule, candidate: ModelSpec, production: ModelSpec, gate: Registry
) -> tuple[str, bool]:
    """Hold one number against production's: a clause that says how they stand, and whether worse.

    What production never measured asks nothing; what production measured and the version did not
    is worse, since nobody can tell.
    """
    now, before = candidate.metric(rule.name), production.metric(rule.name)
    low, high = (candidate.metric(f"{rule.name}_{end}") for end in ("low", "high"))
    tolerance: float = getattr(gate, rule.setting)
    if math.isnan(before):
        return f"{rule.what} {_value(candidate, rule.name)} (unknown of production)", False
    if math.isnan(now):
        return f"{rule.what} is unknown where production has {before:.3f}", True
    told = f"{rule.what} {now:.3f}, production has {before:.3f}"
    # Rounding must not decide where a difference is exactly what is allowed.
    if rule.sign * (before - now) <= tolerance + 1e-9:
        return told, False
    interval = f"{low:.3f} to {high:.3f}"
    if not rule.strict and low <= before <= high:
        return f"{told}, which lies in its interval of {interval}", False
    known = "" if rule.strict or math.isnan(low) else f" (interval {interval})"
    return (
        f"{rule.what}, {now:.3f}{known}, is worse than production's {before:.3f} by more than "
        f"the {tolerance:.3f} that registry.{rule.setting} allows",
        True,
    )


def _elsewhere(candidate: ModelSpec, production: ModelSpec) -> str:
    """Say where both were not measured on the same test images."""
    versions = candidate.gold_version, production.gold_version
    if None in versions or versions[0] == versions[1]:
        return ""
    return f" (measured on gold version {versions[0]}, production on {versions[1]})"


def _value(spec: ModelSpec, name: str) -> str:
    value = spec.metric(name)
    return "unknown" if math.isnan(value) else f"{value:.3f}"


def _listed(clauses: list[str]) -> str:
    return "; ".join(clauses)

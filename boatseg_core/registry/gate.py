"""Whether a version may go into production: a pure function of its test metrics."""

from __future__ import annotations

from dataclasses import dataclass

from boatseg_core.inference.spec import ModelSpec

# Two trainings of the same model differ by about this much.
TOLERANCE = 0.01


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


def judge(
    candidate: ModelSpec,
    production: ModelSpec | None,
    *,
    min_boat_iou: float,
    force: bool = False,
) -> Verdict:
    """Judge a version.

    It has to beat the model that predicts nothing, to reach ``min_boat_iou`` on images with
    objects, and not to be worse there than the version in production by more than
    :data:`TOLERANCE`. Force overrules the last rule alone: a model that finds nothing helps nobody.

    Args:
        candidate: The version's description.
        production: Description of the version in production, if any.
        min_boat_iou: See ``registry.min_boat_iou``.
        force: Promote it although production is better.
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
            "that predicts nothing",
        )
    if not iou >= min_boat_iou:
        return say(
            False,
            f"its IoU of {iou:.3f} on images with objects is below the {min_boat_iou:.3f} that "
            "registry.min_boat_iou asks for",
        )
    if production is None:
        return say(True, f"IoU {iou:.3f} on images with objects; nothing was in production")
    before = production.metric("boat_iou")
    if iou < before - TOLERANCE:
        if force:
            return say(
                True, f"forced: IoU {iou:.3f} where production has {before:.3f}", forced=True
            )
        return say(
            False,
            f"its IoU of {iou:.3f} on images with objects is worse than production's "
            f"{before:.3f} (force promotes it all the same)",
        )
    return say(True, f"IoU {iou:.3f} on images with objects, production had {before:.3f}")

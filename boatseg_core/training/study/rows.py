"""A trial as people read it: one flat row, from the study alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

TrialRow: TypeAlias = dict[str, Any]

_STATES = {
    "RUNNING": "running",
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "WAITING": "waiting",
}


def row_of(trial: FrozenTrial) -> TrialRow:
    """Flatten a trial.

    Returns:
        ``number``; ``state`` (``waiting``, ``running``, ``complete``, ``pruned``, ``failed``, or
        ``lost`` where the process died or was interrupted, ``surplus`` where it was drawn beyond
        the budget and never run); ``value`` and ``over_floor`` (per-image
        IoU minus that of predicting nothing, of the best validation), ``boat_iou``,
        ``per_image_iou``, each ``nan`` where there is none; ``params``, ``steps``, ``seconds``,
        ``reason``, and ``retry_of``, the number of the lost trial it repeats.
    """
    known = trial.user_attrs
    outcome = known.get("outcome")
    if trial.state.name != "FAIL":
        outcome = None
    seconds = known.get("seconds")
    if seconds is None and trial.duration is not None:
        seconds = trial.duration.total_seconds()
    over = float(known.get("over_floor", math.nan))
    return {
        "number": trial.number,
        "state": outcome if outcome in ("lost", "surplus") else _STATES[trial.state.name],
        "value": over,
        "params": dict(trial.params),
        "boat_iou": float(known.get("boat_iou", math.nan)),
        "per_image_iou": float(known.get("per_image_iou", math.nan)),
        "over_floor": over,
        "steps": int(known.get("steps", 0)),
        "seconds": math.nan if seconds is None else float(seconds),
        "reason": str(known.get("reason", "")),
        "retry_of": known.get("retry_of"),
    }

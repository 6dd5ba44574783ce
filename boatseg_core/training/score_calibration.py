"""Fit the scores of objects on the validation split.

What is fitted is described in :mod:`boatseg_core.inference.calibration`. A validation split may
hold a dozen objects, so the fit is held back twice: the outcomes are smoothed as Platt (1999)
smooths them, and the slope has a normal prior (ridge), under which few objects give a nearly
constant score rather than a confident one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from boatseg_core.inference.calibration import Floats, ScoreCalibration, sigmoid

PRIOR = 1.0
"""Precision of the prior of the slope, for mean logits scaled to a deviation of 1."""

_STEPS = 100  # Newton's method takes about six
_FINEST = 0.05  # logits are remembered to within 0.04: what differs by less is rounding


def fit_scores(mean_logits: Floats, right: npt.ArrayLike) -> ScoreCalibration | None:
    """Fit the probability that an object is a true one.

    Args:
        mean_logits: Of each object, float64 ``[N]``.
        right: Whether each covers a true one with an IoU over 0.5, ``[N]``.

    Returns:
        The calibration; None where there is no object to learn from.
    """
    outcome = np.asarray(right, dtype=np.float64)
    if not len(outcome):
        return None
    true = int(outcome.sum())
    wanted = np.where(outcome > 0, (true + 1) / (true + 2), 1 / (len(outcome) - true + 2))
    centre, spread = float(mean_logits.mean()), max(float(mean_logits.std()), _FINEST)
    slope, bias = _logistic((mean_logits - centre) / spread, wanted)
    if slope < 0:  # the outcomes say that surer is worse: the best slope that is not is 0
        share = float(wanted.mean())
        slope, bias = 0.0, float(np.log(share / (1 - share)))
    slope /= spread
    return ScoreCalibration(
        bias=bias - slope * centre, slope=slope, objects=len(outcome), true=true
    )


def _logistic(column: Floats, wanted: Floats) -> tuple[float, float]:
    """Slope and bias of a penalised logistic regression, by Newton's method with halving."""
    design = np.column_stack([column, np.ones(len(wanted))])
    ridge = np.array([PRIOR, 0.0])  # the bias is the share of true ones, and free

    def cost(weights: Floats) -> float:
        logits = design @ weights
        loss = np.logaddexp(0.0, logits) - wanted * logits
        return float(loss.sum() + (ridge * weights**2).sum() / 2)

    weights = np.zeros(2)
    now = cost(weights)
    for _ in range(_STEPS):
        chance = sigmoid(design @ weights)
        slope = design.T @ (chance - wanted) + ridge * weights
        curve = design.T @ (design * (chance * (1 - chance))[:, None]) + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while (then := cost(weights - size * step)) > now and size > 1e-6:
            size /= 2
        if now - then < 1e-10:
            break
        weights, now = weights - size * step, then
    return float(weights[0]), float(weights[1])

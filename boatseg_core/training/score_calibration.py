"""Fit the scores of objects on the validation split.

What is fitted is described in :mod:`boatseg_core.inference.calibration`.
A validation split may hold a dozen objects, so the fit is held back twice: the outcomes are
smoothed as Platt (1999) smooths them, and the weights have a normal prior (ridge), under which few
objects give a nearly constant score rather than a confident one.
"""

from __future__ import annotations

from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from boatseg_core.inference.calibration import ScoreCalibration

Floats: TypeAlias = npt.NDArray[np.float64]

PRIOR = 1.0
"""Precision of the prior of each weight, for evidence scaled to a deviation of 1."""

_STEPS = 100  # Newton's method takes about six


def fit_scores(said: Floats, right: npt.ArrayLike) -> ScoreCalibration | None:
    """Fit the probability that an object is a true one.

    No weight may be negative. With three of them every subset is tried, and of those whose weights
    are all positive the likeliest is the constrained optimum: the problem is convex.

    Args:
        said: Evidence of each object, float64 ``[N, 3]``.
        right: Whether each covers a true one with an IoU over 0.5, ``[N]``.

    Returns:
        The calibration; None where there is no object to learn from.
    """
    outcome = np.asarray(right, dtype=np.float64)
    if not len(outcome):
        return None
    true = int(outcome.sum())
    wanted = np.where(outcome > 0, (true + 1) / (true + 2), 1 / (len(outcome) - true + 2))
    centre, spread = said.mean(0), said.std(0)
    usable = [column for column in range(said.shape[1]) if spread[column] > 0]
    scaled = (said - centre) / np.where(spread > 0, spread, 1.0)
    best, weights, bias = np.inf, np.zeros(said.shape[1]), 0.0
    for count in range(len(usable) + 1):
        for chosen in combinations(usable, count):
            fitted, cost = _logistic(scaled[:, list(chosen)], wanted)
            if cost < best and (fitted[:-1] >= 0).all():
                best, bias = cost, float(fitted[-1])
                weights = np.zeros(said.shape[1])
                weights[list(chosen)] = fitted[:-1]
    weights = weights / np.where(spread > 0, spread, 1.0)
    mean, peak, size = (float(weight) for weight in weights)
    return ScoreCalibration(
        bias=bias - float(weights @ centre),
        mean=mean,
        peak=peak,
        size=size,
        objects=len(outcome),
        true=true,
    )


def _logistic(columns: Floats, wanted: Floats) -> tuple[Floats, float]:
    """Penalised logistic regression by Newton's method with halving.

    Returns:
        Weights with the bias at the end, and the penalised negative log likelihood.
    """
    design = np.column_stack([columns, np.ones(len(wanted))])
    ridge = np.full(design.shape[1], PRIOR)
    ridge[-1] = 0.0  # the bias is the share of true ones, and free

    def cost(weights: Floats) -> float:
        logits = design @ weights
        loss = np.logaddexp(0.0, logits) - wanted * logits
        return float(loss.sum() + (ridge * weights**2).sum() / 2)

    weights = np.zeros(design.shape[1])
    now = cost(weights)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (chance - wanted) + ridge * weights
        curve = design.T @ (design * (chance * (1 - chance))[:, None]) + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while (then := cost(weights - size * step)) > now and size > 1e-6:
            size /= 2
        if now - then < 1e-10:
            break
        weights, now = weights - size * step, then
    return weights, now

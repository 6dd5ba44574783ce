from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from boatseg_core.inference.calibration import sigmoid
from boatseg_core.metrics.curves import ScoreReliability
from boatseg_core.training.score_calibration import PRIOR, fit_scores


def objects(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean logits, and outcomes that a surer object makes likelier."""
    generator = np.random.default_rng(seed)
    sure = generator.gamma(3, 1, count)
    return sure, generator.random(count) < sigmoid(0.9 * sure - 2.8)


def ece(scores: np.ndarray, right: np.ndarray) -> float:
    reliability = ScoreReliability()
    reliability.update(scores, right)
    return float(reliability.compute()["ece"])


def test_scores_come_true_on_objects_that_were_not_fitted():
    fitted = fit_scores(*objects(0, 400))
    sure, right = objects(1, 4000)
    assert fitted is not None
    assert (fitted.objects, fitted.true) == (400, objects(0, 400)[1].sum())
    assert ece(fitted.scores(sure), right) < 0.05
    assert ece(sigmoid(sure), right) > 0.2  # the probability of the pixels says something else


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_optimum_of_an_independent_optimiser(seed: int):
    sure, right = objects(seed, 60)
    fitted = fit_scores(sure, right)
    assert fitted is not None
    true = right.sum()
    wanted = np.where(right, (true + 1) / (true + 2), 1 / (60 - true + 2))

    def loss(weights: np.ndarray) -> float:
        logits = weights[0] * sure + weights[1]
        prior = PRIOR * (weights[0] * sure.std()) ** 2 / 2
        return float((np.logaddexp(0, logits) - wanted * logits).sum() + prior)

    best = minimize(loss, np.zeros(2), tol=1e-12)
    assert (fitted.slope, fitted.bias) == pytest.approx(tuple(best.x), abs=1e-3)


def test_surer_never_scores_lower():
    sure, right = objects(3, 200)
    fitted = fit_scores(sure, ~right)  # even where the outcomes say the opposite
    assert fitted is not None and fitted.slope == 0
    assert fitted.scores(sure) == pytest.approx((~right).mean(), abs=0.01)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("outcome", [True, False])
def test_a_handful_of_objects_makes_nobody_certain(count: int, outcome: bool):
    sure, _ = objects(5, count)
    fitted = fit_scores(sure, np.full(count, outcome))
    assert fitted is not None
    (score,) = fitted.scores(sure[:1])
    assert 0.05 < score < 0.95 and (score > 0.5) == outcome


def test_nothing_to_learn_from_is_no_calibration():
    assert fit_scores(np.zeros(0), np.zeros(0)) is None


def test_objects_that_never_differ_score_their_share():
    fitted = fit_scores(np.full(40, 3.0), np.arange(40) < 30)
    assert fitted is not None
    assert fitted.scores(np.array([3.0])) == pytest.approx(0.75, abs=0.02)


def test_what_differs_by_rounding_says_nothing():
    right = np.arange(40) < 30
    fitted = fit_scores(3.0 + 1e-15 * right, right)  # as sums in another order do
    assert fitted is not None
    assert fitted.scores(np.array([2.0, 4.0])) == pytest.approx(0.75, abs=0.02)

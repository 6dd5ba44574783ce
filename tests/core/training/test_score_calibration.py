from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from boatseg_core.inference.calibration import sigmoid
from boatseg_core.metrics.curves import ScoreReliability
from boatseg_core.training.score_calibration import PRIOR, fit_scores


def objects(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Evidence, and outcomes that a surer mean and a larger object make likelier."""
    generator = np.random.default_rng(seed)
    mean = generator.gamma(3, 1, count)
    said = np.stack([mean, mean + generator.gamma(2, 1, count), generator.normal(5, 1.5, count)], 1)
    return said, generator.random(count) < sigmoid(0.9 * mean + 0.8 * said[:, 2] - 6.5)


def ece(scores: np.ndarray, right: np.ndarray) -> float:
    reliability = ScoreReliability()
    reliability.update(scores, right)
    return reliability.compute()["ece"]


def test_scores_come_true_on_objects_that_were_not_fitted():
    fitted = fit_scores(*objects(0, 400))
    said, right = objects(1, 4000)
    assert fitted is not None and (fitted.objects, fitted.true) == (400, right_of(0, 400))
    assert ece(fitted.scores(said), right) < 0.05
    assert ece(sigmoid(said[:, 0]), right) > 0.2  # the mean probability says something else
    assert fitted.mean > 0 and fitted.size > 0


def right_of(seed: int, count: int) -> int:
    return int(objects(seed, count)[1].sum())


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_constrained_optimum_of_an_independent_optimiser(seed: int):
    said, right = objects(seed, 60)
    said[:, 1] = 9 - said[:, 1]  # surer at the peak is now worse, which no weight may say
    fitted = fit_scores(said, right)
    assert fitted is not None and min(fitted.mean, fitted.peak, fitted.size) >= 0
    scaled = (said - said.mean(0)) / said.std(0)
    true = right.sum()
    wanted = np.where(right, (true + 1) / (true + 2), 1 / (60 - true + 2))

    def loss(weights: np.ndarray) -> float:
        logits = scaled @ weights[:3] + weights[3]
        return float(
            (np.logaddexp(0, logits) - wanted * logits).sum() + PRIOR * (weights[:3] ** 2).sum() / 2
        )

    best = minimize(loss, np.zeros(4), bounds=[(0, None)] * 3 + [(None, None)], tol=1e-12)
    ours = np.array([fitted.mean, fitted.peak, fitted.size]) * said.std(0)
    assert ours == pytest.approx(best.x[:3], abs=2e-3)


def test_surer_and_larger_never_score_lower():
    said, right = objects(3, 200)
    fitted = fit_scores(said, ~right)  # even where the outcomes say the opposite
    assert fitted is not None
    for low, high in itertools.pairwise(np.linspace(said.min(0), said.max(0), 20)):
        assert (fitted.scores(high[None]) >= fitted.scores(low[None])).all()


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("outcome", [True, False])
def test_a_handful_of_objects_makes_nobody_certain(count: int, outcome: bool):
    said, _ = objects(5, count)
    fitted = fit_scores(said, np.full(count, outcome))
    assert fitted is not None
    (score,) = fitted.scores(said[:1])
    assert 0.05 < score < 0.95 and (score > 0.5) == outcome


def test_nothing_to_learn_from_is_no_calibration():
    assert fit_scores(np.zeros((0, 3)), np.zeros(0)) is None


def test_evidence_that_never_differs_has_no_weight():
    said, right = objects(6, 50)
    said[:, 2] = 4.0
    fitted = fit_scores(said, right)
    assert fitted is not None and fitted.size == 0 and np.isfinite(fitted.scores(said)).all()

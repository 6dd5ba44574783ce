"""The score of an object: the probability that it is a true one.

The mean probability of an object's pixels says how sure the network is of the pixels, and it is
over the threshold whatever the object is; it is no probability of anything that happens to the
object. A logistic regression from what the pixels say to whether the object covered a true one
with an IoU over 0.5 is (Platt 1999; Küppers et al. 2020 for detections). It is fitted on the
validation split (:mod:`boatseg_core.training.score_calibration`) and is four numbers of the
model's description, so that whoever runs the model gives the same scores. No weight is negative:
surer and larger never scores lower.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

CLIP = 16.0
"""Logits count as no larger than this: a probability of 0.9999999 is as sure as it gets."""


class ScoreCalibration(BaseModel):
    """Weights of the logistic regression; multiply the columns of :func:`evidence`.

    Attributes:
        bias: Logit of an object whose evidence is all zero.
        mean: Weight of the mean logit.
        peak: Weight of the largest logit.
        size: Weight of the natural logarithm of the area in pixels.
        objects: Objects of the validation split it was fitted on.
        true: How many of them were true ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bias: float = Field(allow_inf_nan=False)
    mean: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    peak: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    size: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    objects: int = Field(default=0, ge=0)
    true: int = Field(default=0, ge=0)

    def scores(self, said: Floats) -> Floats:
        """Probability that each object is a true one: float64 ``[K]`` for ``[K, 3]``."""
        return sigmoid(said @ np.array([self.mean, self.peak, self.size]) + self.bias)


def evidence(inside: Floats, begin: Ints, order: Ints, first: Ints, areas: Ints) -> Floats:
    """Say of each region: mean logit, largest logit, natural logarithm of its area.

    Args:
        inside: Logits of all pixels of all regions, run by run, ``[pixels]``.
        begin: Place in ``inside`` where each run begins, ``[R]``.
        order: Runs, those of one region next to each other, ``[R]``.
        first: Place in ``order`` where each region begins, ``[K]``.
        areas: Pixels of each region, ``[K]``.

    Returns:
        float64 ``[K, 3]``.
    """
    clipped = np.minimum(inside, CLIP)
    means = np.add.reduceat(np.add.reduceat(clipped, begin)[order], first) / areas
    peaks = np.maximum.reduceat(np.maximum.reduceat(clipped, begin)[order], first)
    return np.stack([means, peaks, np.log(areas)], axis=1)


def sigmoid(logits: Floats) -> Floats:
    """The logistic function, float64, without overflow."""
    # Beyond 700 exp leaves the range of float64, and the answer is 0 or 1 anyway.
    positive = 1.0 / (1.0 + np.exp(-np.minimum(np.abs(logits), 700.0)))
    return np.where(logits >= 0, positive, 1.0 - positive)

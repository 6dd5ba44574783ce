"""The score of an object: the probability that it is a true one.

The mean probability of an object's pixels says how sure the network is of the pixels, and it is
above the threshold whatever the object is; it is no probability of anything that happens to the
object. What is: Platt scaling (Platt 1999; of detections: Küppers et al. 2020), a logistic
regression from the mean logit of the pixels to whether the object covered a true one with an IoU
over 0.5. It is fitted on the validation split (:mod:`boatseg_core.training.score_calibration`) and
is two numbers of the model's description, so that whoever runs the model gives the same scores. The
slope is never negative: surer never scores lower.

Measured beside it and left out: the largest logit and the area. Alone each tells true objects from
false ones (areas under the curve of 0.85 and 0.78, the mean logit's is 0.88); beside the mean logit
both were given a weight of nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Floats: TypeAlias = npt.NDArray[np.float64]

CLIP = 16.0
"""Logits count as no larger than this: a probability of 0.9999999 is as sure as it gets."""


class ScoreCalibration(BaseModel):
    """``score = 1 / (1 + exp(-(bias + slope * mean_logit)))``.

    Attributes:
        bias: Logit of the score of an object whose mean logit is 0.
        slope: What one more of mean logit adds to it.
        objects: Objects of the validation split it was fitted on.
        true: How many of them were true ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bias: float = Field(allow_inf_nan=False)
    slope: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    objects: int = Field(default=0, ge=0)
    true: int = Field(default=0, ge=0)

    def scores(self, mean_logits: Floats) -> Floats:
        """Probability that each object is a true one: float64 ``[K]`` for ``[K]``."""
        return sigmoid(self.bias + self.slope * mean_logits)


def sigmoid(logits: Floats) -> Floats:
    """The logistic function, float64, without overflow."""
    # Beyond 700 exp leaves the range of float64, and the answer is 0 or 1 anyway.
    positive = 1.0 / (1.0 + np.exp(-np.minimum(np.abs(logits), 700.0)))
    return np.where(logits >= 0, positive, 1.0 - positive)

"""Predict a split again, plainly, to compare the evaluation in one pass with."""

from __future__ import annotations

from typing import Any

import numpy as np

from boatseg_core.metrics.iou import IouAccumulator
from boatseg_core.metrics.objects import f2, hits, overlap
from boatseg_core.training.truth import TrueObjects


def measure(predictor: Any, gold: Any, split: str) -> dict[str, float]:
    """The metrics of iou, ``f2`` and ``floor_f2``, and nothing that takes a bootstrap."""
    accumulator, truth = IouAccumulator(), TrueObjects(gold, split)
    scores, empty = [], 0
    for sample in gold.samples(split):
        (answer,) = predictor.predict_arrays([sample.image])
        labels = answer.labels()
        accumulator.update(labels, sample.mask)
        found = overlap(labels, truth.layers(sample))
        scores.append(f2(hits(found.predicted), len(found.predicted), len(found.true)))
        empty += not len(found.true)
    return {
        **accumulator.compute(),
        "f2": float(np.mean(scores)),
        "floor_f2": empty / len(scores),
    }

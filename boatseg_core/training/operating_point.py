"""Choose the threshold of an exported model, and measure it as it will be used.

The predictor drops regions smaller than ``predict.min_area`` and thresholds probabilities; what is
registered, gated and shown must therefore be measured through it, not through the bare network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boatseg_core.inference.prediction import from_logits
from boatseg_core.metrics.iou import IouAccumulator, selection_score

if TYPE_CHECKING:
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.inference.predictor import Predictor

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Probabilities tried."""


def choose_threshold(
    predictor: Predictor,
    gold: GoldDataset,
    *,
    min_area: int,
    limit: int = 0,
    threads: int = 0,
) -> tuple[float, dict[float, dict[str, float]]]:
    """Try thresholds on the validation split; each image goes through the graph once.

    Args:
        predictor: The exported model.
        gold: The data set.
        min_area: Smaller regions are dropped, in pixels.
        limit: Most images; 0 for all.
        threads: Decoding threads; 0 for one per core.

    Returns:
        The threshold with the best :func:`~boatseg_core.metrics.iou.selection_score` (of equal
        ones the highest, which raises the fewest false alarms), and the metrics at each.
    """
    counted = {threshold: IouAccumulator() for threshold in THRESHOLDS}
    for sample in gold.samples("valid", limit=limit, threads=threads):
        logits = predictor.logits(sample.image)
        for threshold, accumulator in counted.items():
            found = from_logits(logits, threshold=threshold, min_area=min_area)
            accumulator.update(found.mask(), sample.mask)
    table = {threshold: accumulator.compute() for threshold, accumulator in counted.items()}
    best = max(table, key=lambda threshold: (selection_score(table[threshold]), threshold))
    return best, table


def measure(
    predictor: Predictor, gold: GoldDataset, split: str, *, threads: int = 0
) -> dict[str, float]:
    """Predict every image of a split as the batches and the service do, and count.

    Args:
        predictor: The model, with its threshold and smallest area.
        gold: The data set.
        split: Split to read.
        threads: Decoding threads; 0 for one per core.

    Returns:
        See :meth:`boatseg_core.metrics.iou.IouAccumulator.compute`.
    """
    accumulator = IouAccumulator()
    for sample in gold.samples(split, threads=threads):
        (found,) = predictor.predict_arrays([sample.image])
        accumulator.update(found.mask(), sample.mask)
    return accumulator.compute()

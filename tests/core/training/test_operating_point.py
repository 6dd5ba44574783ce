from __future__ import annotations

import numpy as np
import pytest

from boatseg_core.inference.prediction import from_logits
from boatseg_core.metrics import IouAccumulator
from boatseg_core.training.operating_point import THRESHOLDS, choose_threshold, measure


class Brightness:
    """Stands in for a predictor: the brighter a pixel, the likelier an object."""

    def __init__(self, threshold: float = 0.5, min_area: int = 0) -> None:
        self.threshold, self.min_area, self.runs = threshold, min_area, 0

    def logits(self, image: np.ndarray) -> np.ndarray:
        self.runs += 1
        shade = np.clip(image.mean(2) / 255, 0.01, 0.99)
        return np.log(shade / (1 - shade)).astype(np.float32)

    def predict_arrays(self, images: list[np.ndarray]) -> list[object]:
        return [
            from_logits(self.logits(image), threshold=self.threshold, min_area=self.min_area)
            for image in images
        ]


def by_hand(gold, split: str, threshold: float) -> dict[str, float]:
    accumulator = IouAccumulator()
    for sample in gold.samples(split):
        shade = np.clip(sample.image.mean(2) / 255, 0.01, 0.99)
        accumulator.update(shade > threshold, sample.mask)
    return accumulator.compute()


def test_the_test_goes_through_the_predictor(gold):
    found = measure(Brightness(), gold, "test")

    assert found == pytest.approx(by_hand(gold, "test", 0.5))
    assert found["boat_iou"] > 0.9


def test_each_threshold_is_measured_and_each_image_run_once(gold):
    predictor = Brightness()

    best, table = choose_threshold(predictor, gold, min_area=0)

    assert best in THRESHOLDS and set(table) == set(THRESHOLDS)
    for threshold in (0.3, 0.5, 0.9):
        assert table[threshold] == pytest.approx(by_hand(gold, "valid", threshold))
    assert predictor.runs == gold.index("valid").height


def test_regions_below_the_smallest_area_are_not_false_alarms(gold):
    largest = gold.index()["boat_area"].max()

    found = measure(Brightness(min_area=largest + 1), gold, "test")

    assert found["boat_iou"] == 0
    assert found["empty_false_positive_rate"] == 0

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.measuring import measure

from boatseg_core.dataset import GoldDataset, Sample
from boatseg_core.errors import InputError, LakeError
from boatseg_core.imaging import rle
from boatseg_core.inference.calibration import ScoreCalibration
from boatseg_core.inference.prediction import from_logits
from boatseg_core.inference.spec import ModelSpec
from boatseg_core.metrics.objects import f2, hits, overlap
from boatseg_core.training import gather
from boatseg_core.training.evaluate import evaluate
from boatseg_core.training.truth import TrueObjects


class Brightness:
    """Stands in for a predictor: the brighter a pixel, the likelier an object."""

    def __init__(self, threshold: float = 0.5, min_area: int = 20, **spec: object) -> None:
        self.threshold, self.min_area, self.split_neck, self.runs = threshold, min_area, 0.0, 0
        self.spec = ModelSpec(**spec)

    def logits(self, image: np.ndarray) -> np.ndarray:
        self.runs += 1
        shade = np.clip(image.mean(2) / 255, 0.01, 0.99)
        return np.log(shade / (1 - shade)).astype(np.float32)

    def predict_arrays(self, images: list[np.ndarray]) -> list[object]:
        return [
            from_logits(self.logits(i), threshold=self.threshold, min_area=self.min_area)
            for i in images
        ]


def test_one_pass_says_what_predicting_again_says(gold):
    predictor, told = Brightness(), []
    evaluation = evaluate(predictor, gold, "test", draws=50, on_image=lambda *a: told.append(a))
    found = evaluation.facts
    assert predictor.runs == 5 and told == [(k, 5) for k in range(1, 6)]

    expected = measure(Brightness(), gold, "test")
    for name in ("boat_iou", "empty_false_positive_rate", "per_image_iou", "dataset_iou"):
        assert found["headlines"][name]["value"] == pytest.approx(expected[name])
    assert {name: evaluation.metrics[name] for name in expected} == pytest.approx(expected)
    for name in ("boat_iou", "f2", "empty_false_positive_rate"):
        one = found["headlines"][name]
        assert (evaluation.metrics[f"{name}_low"], evaluation.metrics[f"{name}_high"]) == (
            one["low"], one["high"],
        )  # fmt: skip
    assert evaluation.metrics["object_ece"] == found["calibration"]["objects"]["ece"]
    assert found["headlines"]["per_image_iou"]["floor"] == pytest.approx(2 / 5)
    for row in found["object_curve"]:
        again = measure(Brightness(row["threshold"]), gold, "test")
        for name in ("boat_iou", "empty_false_positive_rate", "per_image_iou", "dataset_iou"):
            assert row[name] == pytest.approx(again[name]), row["threshold"]
    at_half = next(row for row in found["object_curve"] if row["threshold"] == 0.5)
    assert at_half["f2"] == pytest.approx(found["headlines"]["f2"]["value"])
    assert found["data"]["images"] == 5 and found["data"]["boat_images"] == 3
    assert found["data"]["objects"] == 6 and found["data"]["groups"] == 5
    json.dumps(found, allow_nan=False)


def test_f2_is_that_of_the_objects(gold):
    scores = []
    for sample in gold.samples("test"):
        (answer,) = Brightness().predict_arrays([sample.image])
        found = overlap(answer.labels(), TrueObjects(gold, "test").layers(sample))
        scores.append(f2(hits(found.predicted), len(found.predicted), len(found.true)))
    value = evaluate(Brightness(), gold, "test", draws=10).facts["headlines"]["f2"]["value"]
    assert value == pytest.approx(np.mean(scores))


def test_scores_are_those_of_the_calibration_and_compared_with_the_mean(gold):
    certain = ScoreCalibration(bias=3.0)  # every object alike
    found = evaluate(Brightness(score_calibration=certain), gold, "test", draws=10).facts
    plain = evaluate(Brightness(), gold, "test", draws=10).facts
    (row,) = [row for row in found["calibration"]["objects"]["bins"] if row["count"]]
    assert row["confidence"] == pytest.approx(1 / (1 + np.exp(-3)))
    mean = found["calibration"]["objects_mean_probability"]
    assert (
        mean == plain["calibration"]["objects"] == plain["calibration"]["objects_mean_probability"]
    )
    assert found["model"]["score_calibration"]["bias"] == 3
    assert plain["model"]["score_calibration"] is None


def test_a_model_that_finds_nothing_stands_on_its_floor(gold):
    found = evaluate(Brightness(min_area=10**6), gold, "test", draws=50).facts["headlines"]
    for name, one in found.items():
        assert one["value"] == one["floor"], name
    assert found["per_image_iou"]["value"] == pytest.approx(0.4)


def test_pictures_are_few_and_in_order(write_gold, monkeypatch):
    monkeypatch.setattr(gather, "EXAMPLES", 2)
    gold = write_gold(test=(5, 4))
    kinds = evaluate(Brightness(0.2, min_area=0), gold, "test", draws=10).examples
    assert {name: len(kept) for name, kept in kinds.items()} == {
        "worst": 2, "false alarms": 2, "best": 2,
    }  # fmt: skip

    def iou(example):
        return float(example.caption.split(",")[0].removeprefix("IoU "))

    assert iou(kinds["worst"][0]) <= iou(kinds["worst"][1])
    assert iou(kinds["best"][0]) >= iou(kinds["best"][1]) >= iou(kinds["worst"][1])
    assert kinds["best"][0].picture.shape == (128, 128, 3)


def test_an_empty_split_is_refused_in_a_sentence(write_gold):
    gold = write_gold(train=(2, 1), valid=(1, 0))
    with pytest.raises(InputError, match=r"test split of gold version 1 is empty .*train 3, valid"):
        evaluate(Brightness(), gold, "test")


def test_images_the_model_was_trained_on_are_counted(gold):
    version = gold.version

    def seen(split: str, trained_on: int | None) -> int | None:
        predictor = Brightness(gold_version=trained_on)
        return evaluate(predictor, gold, split, draws=10).facts["data"]["seen_in_training"]

    assert seen("test", version) == 0
    assert seen("train", version) == 14
    assert seen("test", None) is None
    assert seen("test", 999) is None  # vacuumed, or another lake's


def test_limit_and_measurements(gold):
    found = evaluate(Brightness(), gold, "test", limit=3, draws=10).facts
    assert found["data"]["images"] == 3 and found["data"]["limited"]
    names = [row["condition"] for row in found["conditions"]]
    assert names == ["brightness", "contrast"]  # nothing else was stored of these
    for row in found["conditions"]:
        assert sum(level["images"] for level in row["levels"]) == 3


# True objects


def touching(gold: GoldDataset, rles: list[str] | None) -> tuple[TrueObjects, Sample]:
    """Two boats that touch, as gold would have them."""
    sample = next(iter(gold.samples("test")))
    mask = np.zeros((128, 128), bool)
    mask[40:60, 20:70] = True
    truth = TrueObjects(gold, "test")
    truth._rles[sample.image_id] = rles
    return truth, replace(sample, mask=mask, boat_areas=[600, 400], boat_count=2)


def box(rows: slice, columns: slice) -> str:
    mask = np.zeros((128, 128), bool)
    mask[rows, columns] = True
    return rle.encode(mask)


LEFT, RIGHT = box(slice(40, 60), slice(20, 50)), box(slice(40, 60), slice(50, 70))


def test_boats_that_touch_come_apart_by_their_run_lengths(gold):
    truth, sample = touching(gold, [LEFT, RIGHT])
    (layer,) = truth.layers(sample)
    assert np.bincount(layer.ravel())[1:].tolist() == [600, 400]
    assert truth.merged == 0


def test_an_older_gold_has_regions_only_and_that_is_counted(gold):
    truth, sample = touching(gold, None)
    (layer,) = truth.layers(sample)
    assert layer.max() == 1 and truth.merged == 1


@pytest.mark.parametrize("rles", [[LEFT], ["1 2 3", LEFT], [], [LEFT, "1 4000"]])
def test_run_lengths_that_are_not_the_mask_are_refused(gold, rles):
    truth, sample = touching(gold, rles)
    with pytest.raises(LakeError, match=rf"{sample.image_id}.*do not give its mask"):
        truth.layers(sample)


def test_objects_that_share_pixels_get_layers(gold):
    # 600 and 800 pixels, 400 of them shared
    truth, sample = touching(gold, [LEFT, box(slice(40, 60), slice(30, 70))])
    layers = truth.layers(replace(sample, boat_areas=[600, 800]))
    assert [int(layer.sum()) for layer in layers] == [600, 800]
    whole = overlap(sample.mask.astype(np.int32), layers)
    assert whole.true.tolist() == [0.6, 0.8] and whole.predicted.tolist() == [0.8]

from __future__ import annotations

import numpy as np
import pytest
from support.measuring import measure

from boatseg_core.inference.prediction import from_logits
from boatseg_core.metrics import IouAccumulator, selection_score
from boatseg_core.metrics.objects import f2, hits, overlap
from boatseg_core.training import operating_point
from boatseg_core.training.operating_point import (
    MIN_AREAS,
    NECKS,
    THRESHOLDS,
    _alarms,
    _as_good,
    _least,
    choose_operating_point,
)
from boatseg_core.training.truth import TrueObjects


class Brightness:
    """Stands in for a predictor: the brighter a pixel, the likelier an object."""

    def __init__(self, threshold: float = 0.5, min_area: int = 0, split_neck: float = 0.0) -> None:
        self.options = {"threshold": threshold, "min_area": min_area, "split_neck": split_neck}
        self.runs = 0

    def logits(self, image: np.ndarray) -> np.ndarray:
        self.runs += 1
        shade = np.clip(image.mean(2) / 255, 0.01, 0.99)
        return np.log(shade / (1 - shade)).astype(np.float32)

    def predict_arrays(self, images: list[np.ndarray]) -> list[object]:
        return [from_logits(self.logits(image), **self.options) for image in images]


def by_hand(gold, split: str, threshold: float) -> dict[str, float]:
    accumulator = IouAccumulator()
    for sample in gold.samples(split):
        shade = np.clip(sample.image.mean(2) / 255, 0.01, 0.99)
        accumulator.update(shade > threshold, sample.mask)
    return accumulator.compute()


def without_f2(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith("f2")}


def test_the_test_goes_through_the_predictor(gold):
    found = measure(Brightness(), gold, "test")

    assert without_f2(found) == pytest.approx(by_hand(gold, "test", 0.5))
    assert found["boat_iou"] > 0.9
    # In one of the images two boats overlap; as one region they are one hit.
    assert found["f2"] > 0.8 > found["floor_f2"] == pytest.approx(0.4)


def test_each_point_equals_predicting_again_and_each_image_is_run_once(gold):
    predictor = Brightness()

    point = choose_operating_point(predictor, gold)

    assert predictor.runs == gold.index("valid").height
    assert set(point.table) == {(t, a) for t in THRESHOLDS for a in MIN_AREAS}
    for threshold, area in ((0.3, 0), (0.3, 120), (0.5, 10), (0.9, 50)):
        again = without_f2(measure(Brightness(threshold, area), gold, "valid"))
        assert point.table[threshold, area] == pytest.approx(again)
    assert set(point.f2) == set(NECKS)
    for neck, score in point.f2.items():
        again = measure(Brightness(point.threshold, point.min_area, neck), gold, "valid")
        assert score == pytest.approx(again["f2"])


def test_the_best_point_is_chosen_and_ties_are_broken_carefully(gold):
    point = choose_operating_point(Brightness(), gold)
    best = max(selection_score(metrics) for metrics in point.table.values())
    equal = [p for p, metrics in point.table.items() if selection_score(metrics) == best]
    assert (point.threshold, point.min_area) == max(equal, key=lambda p: (p[0], -abs(p[1] - 30)))
    assert point.split_neck == 0  # no boats touch by a neck here


def test_one_image_does_not_decide_on_splitting():
    noisy = {0.0: np.array([0.5] * 20), 0.6: np.array([0.5] * 19 + [0.9])}
    assert _least(noisy, 20) == 0.0
    steady = {0.0: np.array([0.5] * 20), 0.6: np.array([0.5] * 12 + [0.9] * 8)}
    assert _least(steady, 20) == 0.6
    assert _least(steady, 10_000) == 0.6  # as many images without a region change nothing
    assert _least({0.0: np.zeros(0), 0.6: np.zeros(0)}, 0) == 0.0


def test_a_sieve_is_chosen_where_there_are_specks(write_gold, monkeypatch):
    gold = write_gold(valid=(4, 4))

    class Specks(Brightness):
        def logits(self, image: np.ndarray) -> np.ndarray:
            logits = super().logits(image)
            logits[::40, ::40] = 6  # nothing but a sieve takes these away
            logits[1::40, ::40] = 6
            return logits

    point = choose_operating_point(Specks(), gold)
    assert point.min_area == 30  # all from 10 do, and this one is usual
    assert point.table[point.threshold, 10]["empty_false_positive_rate"] == 0
    assert point.table[point.threshold, 0]["empty_false_positive_rate"] == 1


def test_splitting_is_chosen_where_boats_touch(gold, monkeypatch):
    # Two discs that meet in a neck, in every image; the truth has two objects.
    rows, columns = np.mgrid[:128, :128]
    discs = [(rows - 60) ** 2 + (columns - x) ** 2 < 15**2 for x in (40, 68)]
    layer = discs[0] + 2 * (discs[1] & ~discs[0]).astype(np.int32)
    monkeypatch.setattr(TrueObjects, "layers", lambda self, sample: [layer])

    class Discs(Brightness):
        def logits(self, image: np.ndarray) -> np.ndarray:
            return np.where(discs[0] | discs[1], 5, -5).astype(np.float32)

    point = choose_operating_point(Discs(), gold)
    assert point.split_neck > 0
    assert point.f2[0.0] < 0.2 < 0.9 < point.f2[point.split_neck]
    for neck, score in point.f2.items():
        (answer,) = Discs(point.threshold, point.min_area, neck).predict_arrays([None])
        found = overlap(answer.labels(), [layer])
        assert score == pytest.approx(f2(hits(found.predicted), len(found.predicted), 2))


def test_scores_are_fitted_on_what_the_predictor_will_find(gold, monkeypatch):
    fitted = []
    monkeypatch.setattr(operating_point, "fit_scores", lambda *a: fitted.append(a))
    point = choose_operating_point(Brightness(), gold)
    ((sure, right),) = fitted
    assert point.scores is None
    truth, expected, true = TrueObjects(gold, "valid"), [], []
    for sample in gold.samples("valid"):
        (answer,) = Brightness(point.threshold, point.min_area, point.split_neck).predict_arrays(
            [sample.image]
        )
        expected.append(answer.mean_logits)
        true += (overlap(answer.labels(), truth.layers(sample)).predicted > 0.5).tolist()
    assert right.astype(bool).tolist() == true and any(true)
    # A byte remembers a logit to within half a step.
    assert sure == pytest.approx(np.concatenate(expected), abs=0.04)


def test_a_remembered_logit_lies_on_the_same_side_of_every_threshold():
    assert len(operating_point._EDGES) < 256
    inside = operating_point._LEVELS[1:-1]
    assert (operating_point._EDGES[:-1] < inside).all() and (
        inside < operating_point._EDGES[1:]
    ).all()
    for threshold in THRESHOLDS:
        cut = np.float32(np.log(threshold / (1 - threshold)))
        near = np.array([np.nextafter(cut, -9), cut, np.nextafter(cut, 9)], np.float32)
        levels = np.searchsorted(operating_point._EDGES, near, side="left")
        again = operating_point._LEVELS[levels] > cut
        assert again.tolist() == [False, False, True] == (near > cut).tolist()


def test_what_is_set_is_not_chosen(gold):
    point = choose_operating_point(Brightness(), gold, min_areas=(35,), necks=(0.0,))
    assert (point.min_area, point.split_neck) == (35, 0.0)
    assert {area for _, area in point.table} == {35}


def test_regions_below_the_smallest_area_are_not_false_alarms(gold):
    largest = gold.index()["boat_area"].max()

    found = measure(Brightness(min_area=largest + 1), gold, "test")

    assert found["boat_iou"] == 0
    assert found["empty_false_positive_rate"] == 0
    assert found["f2"] == found["floor_f2"]


def counted(ious: list[float], alarms: list[int]) -> list[tuple[int, int, int]]:
    """Images with objects of 1,000 pixels, of which a part is found; then empty images."""
    boats = [(round(1000 * iou), 0, 1000 - round(1000 * iou)) for iou in ious]
    return boats + [(0, extra, 0) for extra in alarms]


def test_a_point_is_as_good_unless_it_is_worse_by_more_than_chance():
    rng = np.random.default_rng(4)
    ious = rng.uniform(0.4, 0.9, 60)
    best = counted(list(ious), [0] * 30 + [9] * 10)
    assert _as_good(best, best)
    # Always a little worse is worse; now better, now worse is not.
    assert not _as_good(counted(list(ious - 0.01), [0] * 30 + [9] * 10), best)
    noise = rng.normal(0, 0.05, 60)
    noise += -0.002 - noise.mean()
    assert _as_good(counted(list(ious + noise), [0] * 30 + [9] * 10), best)
    # Fewer false alarms make up for a loss of IoU, more of them do not.
    fewer, more = [0] * 38 + [9] * 2, [0] * 10 + [9] * 30
    assert _as_good(counted(list(ious - 0.03), fewer), best)
    assert not _as_good(counted(list(ious), more), best)
    assert (_alarms(best), _alarms(counted(list(ious), fewer))) == (10, 2)
    assert not _as_good(counted([], [0]), best)


def test_a_cautious_choice_raises_no_more_false_alarms(gold):
    plain = choose_operating_point(Brightness(), gold)
    careful = choose_operating_point(Brightness(), gold, cautious=True)
    assert plain.table == careful.table

    def rates(point):
        found = point.table[point.threshold, point.min_area]
        return found["empty_false_positive_rate"], found["boat_iou"]

    assert rates(careful)[0] <= rates(plain)[0]
    assert rates(careful)[1] > 0

"""Choose the operating point of an exported model.

The predictor thresholds probabilities, may cut regions at their necks and drops small ones; what is
registered, gated and shown is therefore measured through it (:mod:`.evaluate`), not through the
bare network. All of it is chosen on the validation split, and so is what turns the pixels of an
object into its score; the test split is only ever measured.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from boatseg_core.imaging.components import Runs, find, paint
from boatseg_core.inference.calibration import CLIP, Floats, ScoreCalibration
from boatseg_core.inference.prediction import Prediction, above, from_logits
from boatseg_core.metrics.iou import IouAccumulator, selection_score
from boatseg_core.metrics.objects import Overlap, f2, hits, overlap
from boatseg_core.training.gather import bounding_box
from boatseg_core.training.score_calibration import fit_scores
from boatseg_core.training.truth import Labels, TrueObjects

if TYPE_CHECKING:
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.inference.predictor import Predictor

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Probabilities tried."""

MIN_AREAS = (0, 10, 20, 30, 50, 80, 120)
"""Smallest areas tried, in pixels."""

NECKS = (0.0, 0.4, 0.6, 0.75)
"""Shares of ``split_neck`` tried; 0 leaves touching boats together."""

_CUTS = np.array([math.log(p / (1 - p)) for p in THRESHOLDS], dtype=np.float32)
# Logits are remembered to within 0.04 in a byte; the thresholds are among the edges, so that on
# which side of them a pixel lies is remembered exactly.
_EDGES = np.unique(np.concatenate([_CUTS, np.linspace(_CUTS[0], CLIP, 240, dtype=np.float32)]))
_LEVELS = np.concatenate(
    [[_EDGES[0] - 1], (_EDGES[1:] + _EDGES[:-1]) / 2, [_EDGES[-1]]], dtype=np.float32
)


@dataclass(frozen=True)
class OperatingPoint:
    """How probabilities become objects, and what else was tried.

    Attributes:
        threshold: A pixel with a higher probability belongs to an object.
        min_area: Smaller regions are dropped, in pixels.
        split_neck: Regions are cut at necks narrower than this share of the narrower part.
        table: Metrics on the validation split by threshold and smallest area: those of
            :meth:`boatseg_core.metrics.iou.IouAccumulator.compute`.
        f2: The challenge's score there by ``split_neck``, at the threshold and area chosen.
        scores: What turns the pixels of an object into its score, fitted there at the point
            chosen; None where no object was predicted.
    """

    threshold: float
    min_area: int
    split_neck: float
    table: dict[tuple[float, int], dict[str, float]]
    f2: dict[float, float]
    scores: ScoreCalibration | None


def choose_operating_point(
    predictor: Predictor,
    gold: GoldDataset,
    *,
    min_areas: Sequence[int] = MIN_AREAS,
    necks: Sequence[float] = NECKS,
    usual_area: int = 30,
    cautious: bool = False,
    limit: int = 0,
    threads: int = 0,
) -> OperatingPoint:
    """Choose threshold, sieve and splitting on the validation split.

    Each image goes through the graph once, and its regions are found once a threshold: a sieve only
    decides which of them count. Threshold and sieve are those with the best
    :func:`~boatseg_core.metrics.iou.selection_score`; of equal ones the highest threshold, which
    raises the fewest false alarms, then the sieve nearest to ``usual_area``. Splitting moves no
    pixel, so it is judged by F2 at that point: the one that cuts least and is not worse than the
    best by more than a standard error.

    Args:
        predictor: The exported model.
        gold: The data set.
        min_areas: Smallest areas to try, in pixels.
        necks: Values of ``split_neck`` to try.
        usual_area: Sieve to keep to where the images do not say which is better.
        cautious: Of the points that are not worse than the best by more than a standard error take
            the one with the fewest false alarms.
        limit: Most images; 0 for all.
        threads: Decoding threads; 0 for one per core.
    """
    areas = sorted(set(min_areas))
    table = {(threshold, area): IouAccumulator() for threshold in THRESHOLDS for area in areas}
    single: dict[tuple[float, int], list[tuple[int, int, int]]] = {point: [] for point in table}
    truth, remembered, plain, images = TrueObjects(gold, "valid"), [], 0, 0
    for sample in gold.samples("valid", limit=limit, threads=threads):
        logits = predictor.logits(sample.image)
        for threshold in THRESHOLDS:
            size, both = _pixels(find(above(logits, threshold)), sample.mask)
            true = int(np.count_nonzero(sample.mask))
            for area in areas:
                kept = size >= area
                right, found = int(both[kept].sum()), int(size[kept].sum())
                table[threshold, area].update_counts([right], [found - right], [true - right])
                if cautious:
                    single[threshold, area].append((right, found - right, true - right))
        if above(logits, THRESHOLDS[0]).any():
            remembered.append(_Remembered.of(logits, truth.layers(sample)))
        else:
            plain += not sample.mask.any()  # F2 of 1, whatever is cut; else it is 0
        images += 1
    metrics = {point: accumulator.compute() for point, accumulator in table.items()}
    order = {
        point: (selection_score(metrics[point]), point[0], -abs(point[1] - usual_area))
        for point in metrics
    }
    threshold, area = best = max(order, key=order.__getitem__)
    if cautious:
        near = [p for p in order if p == best or _as_good(single[p], single[best])]
        threshold, area = max(near, key=lambda p: (-_alarms(single[p]), *order[p]))
    again = {
        neck: [one.predict(threshold, area, neck) for one in remembered] for neck in sorted(necks)
    }
    by_neck = {
        neck: np.array([f2(hits(o.predicted), len(o.predicted), len(o.true)) for _, o in answers])
        for neck, answers in again.items()
    }
    chosen = _least(by_neck, images)
    return OperatingPoint(
        threshold,
        area,
        chosen,
        metrics,
        {neck: float((plain + scores.sum()) / max(images, 1)) for neck, scores in by_neck.items()},
        fit_scores(
            np.concatenate([np.zeros(0), *(sure for sure, _ in again[chosen])]),
            np.concatenate([np.zeros(0), *(o.predicted > 0.5 for _, o in again[chosen])]),
        ),
    )


def _alarms(counts: list[tuple[int, int, int]]) -> int:
    """Images without objects in which something was found."""
    return sum(extra > 0 and both + missed == 0 for both, extra, missed in counts)


def _as_good(one: list[tuple[int, int, int]], best: list[tuple[int, int, int]]) -> bool:
    """Whether a selection score is not below the best by more than a standard error.

    That of the difference on the same images, by the influence of each on the score (the delta
    method): an image with objects moves their mean IoU, an empty one the rate of false alarms.
    """
    scores, parts = [], []
    for counts in (one, best):
        both, extra, missed = np.array(counts, dtype=np.float64).reshape(-1, 3).T
        boats = both + missed > 0
        if not boats.any():
            return False
        iou = both[boats] / (both + extra + missed)[boats]
        alarms = (extra > 0)[~boats]
        rate = float(alarms.mean()) if alarms.size else 0.0
        scores.append(iou.mean() * (1 - rate / 2))
        part = np.empty(len(boats))
        part[boats] = (iou - iou.mean()) * (1 - rate / 2) / len(iou)
        part[~boats] = -(alarms - rate) * iou.mean() / 2 / max(alarms.size, 1)
        parts.append(part)
    error = float(np.sqrt(((parts[0] - parts[1]) ** 2).sum()))
    return bool(scores[0] >= scores[1] - error)


def _least(by_neck: dict[float, npt.NDArray[np.float64]], images: int) -> float:
    """The least cutting that is not clearly worse than the best.

    A handful of images decide, so chance would choose: by the one-standard-error rule (Breiman et
    al. 1984, section 3.4.3) the best has to be better by more than the standard error of the
    difference, image by image.
    """
    best = max(by_neck, key=lambda neck: (by_neck[neck].sum(), -neck))
    for neck, scores in by_neck.items():
        gain = np.zeros(max(images, 1))  # images without any region do not differ
        gain[: len(scores)] = by_neck[best] - scores
        if gain.mean() <= gain.std(ddof=min(1, len(gain) - 1)) / math.sqrt(len(gain)):
            return neck
    return best


@dataclass(frozen=True)
class _Remembered:
    """What is left of an image to judge its objects by: a few kilobytes, compressed.

    Attributes:
        shape: Of the box that holds everything predicted or true.
        levels: uint8, number of :data:`_EDGES` each pixel's logit is above.
        layers: int32, the true objects.
    """

    shape: tuple[int, ...]
    levels: bytes
    layers: list[bytes]

    @classmethod
    def of(cls, logits: npt.NDArray[np.float32], layers: list[Labels]) -> _Remembered:
        high = above(logits, THRESHOLDS[0])
        levels = np.zeros(logits.shape, np.uint8)
        levels[high] = np.searchsorted(_EDGES, logits[high], side="left")
        shown = high.copy()
        for layer in layers:
            shown |= layer > 0
        box = bounding_box(shown)
        return cls(
            levels[box].shape,
            zlib.compress(levels[box].tobytes(), 1),
            [zlib.compress(layer[box].tobytes(), 1) for layer in layers],
        )

    def predict(self, threshold: float, min_area: int, neck: float) -> tuple[Floats, Overlap]:
        """Find the objects again: their mean logits, and how they overlap the true ones."""
        levels = np.frombuffer(zlib.decompress(self.levels), np.uint8).reshape(self.shape)
        found: Prediction = from_logits(
            _LEVELS[levels], threshold=threshold, min_area=min_area, split_neck=neck
        )
        layers = [
            np.frombuffer(zlib.decompress(layer), np.int32).reshape(self.shape)
            for layer in self.layers
        ]
        return found.mean_logits, overlap(found.labels(), layers)


def _pixels(
    runs: Runs, truth: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pixels of each region, and those of them that are true."""
    size = np.bincount(runs.region, weights=runs.length, minlength=runs.regions)
    numbers = paint(runs, truth.shape)
    both = np.bincount(numbers[truth], minlength=runs.regions + 1)[1:]
    return size.astype(np.int64), both.astype(np.int64)

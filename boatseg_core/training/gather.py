"""What an evaluation adds up, image by image."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from boatseg_core.imaging.overlay import Pixels, draw_comparison, shrink_mask, thumbnail
from boatseg_core.inference.prediction import Prediction, above, from_logits
from boatseg_core.metrics.curves import ObjectCurve, PixelCurves, ScoreReliability
from boatseg_core.metrics.iou import IouAccumulator, pixel_counts
from boatseg_core.metrics.objects import Overlap, f2, hits, overlap
from boatseg_core.metrics.scorecard import Scorecard
from boatseg_core.training.truth import Labels, TrueObjects

if TYPE_CHECKING:
    from boatseg_core.dataset import Sample
    from boatseg_core.inference.predictor import Predictor

OBJECT_THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Thresholds of the object curve: sieve and splitting are done again at each."""

EXAMPLES = 8
"""Pictures of each kind that a report shows."""

_SIDE = 256  # px, longer side of a picture of the report


@dataclass(frozen=True)
class Example:
    """One picture of the report.

    Attributes:
        image_id: Name.
        caption: What it scored.
        picture: uint8 ``[h, w, 3]``, truth and prediction drawn in.
    """

    image_id: str
    caption: str
    picture: Pixels


class _Kept:
    """The few examples with the highest scores; memory does not grow."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Example]] = []
        self._seen = 0

    def offer(self, score: float, draw: Callable[[], Example]) -> None:
        """Keep an example if its score is high enough; only then is it drawn."""
        self._seen += 1
        # Of equals the first stays, so that the order of the table decides and nothing else.
        if len(self._heap) < EXAMPLES or score > self._heap[0][0]:
            heapq.heappush(self._heap, (score, -self._seen, draw()))
            if len(self._heap) > EXAMPLES:
                heapq.heappop(self._heap)

    def best(self) -> list[Example]:
        """What was kept, the highest score first."""
        return [example for *_, example in sorted(self._heap, key=lambda k: (-k[0], -k[1]))]


class Gathered:
    """Everything that is added up over the images.

    Attributes:
        card: Figures of each image.
        iou: Pixel counts of the predictions as they are given out.
        pixels: Pixel counts at every threshold, and calibration.
        objects: The predictions as they are given out, at some thresholds.
        scores: Reliability of the objects' scores.
        means: That of the mean probabilities of their pixels, which scores are without calibration.
        kept: Examples by kind: ``worst``, ``false alarms``, ``best``.
    """

    def __init__(self, predictor: Predictor, truth: TrueObjects) -> None:
        self.predictor, self.truth = predictor, truth
        self.card, self.pixels = Scorecard(), PixelCurves()
        self.scores, self.means = ScoreReliability(), ScoreReliability()
        self.iou = IouAccumulator()
        self.objects = ObjectCurve(OBJECT_THRESHOLDS)
        self.kept = {name: _Kept() for name in ("worst", "false alarms", "best")}

    def add(self, sample: Sample) -> None:
        """Predict one image and count."""
        logits = self.predictor.logits(sample.image)
        layers = self.truth.layers(sample)
        self.pixels.update(logits, sample.mask)
        found, counts, overlaps = self._at(logits, sample.mask, layers, self.predictor.threshold)
        self.card.update(sample.image_id, sample.group_id, counts, overlaps)
        self.iou.update_counts(*([count] for count in counts))
        self.scores.update(found.scores, overlaps.predicted > 0.5)
        self.means.update(found.means, overlaps.predicted > 0.5)
        self._curve(logits, sample.mask, layers)
        self._keep(sample, found, counts)

    def _at(
        self,
        logits: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_],
        layers: list[Labels],
        threshold: float,
    ) -> tuple[Prediction, tuple[int, int, int], Overlap]:
        found = from_logits(
            logits,
            threshold=threshold,
            min_area=self.predictor.min_area,
            split_neck=self.predictor.split_neck,
            calibration=self.predictor.spec.score_calibration,
        )
        labels = found.labels()
        return found, pixel_counts(labels, mask), overlap(labels, layers)

    def _curve(
        self,
        logits: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_],
        layers: list[Labels],
    ) -> None:
        # Where neither the truth nor the lowest threshold has a pixel, no threshold has one.
        shown = above(logits, OBJECT_THRESHOLDS[0]) | mask
        box = bounding_box(shown)
        part, inside = np.ascontiguousarray(logits[box]), mask[box]
        cropped = [layer[box] for layer in layers]
        counts, scores = [], []
        for threshold in OBJECT_THRESHOLDS:
            if shown.any():
                _, pixels, found = self._at(part, inside, cropped, threshold)
                score = f2(hits(found.predicted), len(found.predicted), len(found.true))
            else:
                pixels, score = (0, 0, 0), 1.0
            counts.append(pixels)
            scores.append(score)
        self.objects.update(counts, scores)

    def _keep(self, sample: Sample, found: Prediction, counts: tuple[int, int, int]) -> None:
        both, extra, missed = counts

        def draw(caption: str) -> Example:
            small = thumbnail(sample.image, _SIDE)
            masks = (shrink_mask(m, *small.shape[:2]) for m in (sample.mask, found.mask()))
            return Example(sample.image_id, caption, draw_comparison(small, *masks))

        if both + missed:
            iou = both / (both + extra + missed)
            caption = f"IoU {iou:.2f}, {found.boat_count} of {sample.boat_count}"
            self.kept["worst"].offer(-iou, lambda: draw(caption))
            self.kept["best"].offer(iou, lambda: draw(caption))
        elif extra:
            caption = f"{found.boat_count} false, {extra:,} px"
            self.kept["false alarms"].offer(extra, lambda: draw(caption))


def bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """The smallest box that holds every pixel of a mask; of an empty mask an empty one."""
    spans = []
    for axis in (1, 0):
        line = np.flatnonzero(mask.any(axis=axis))
        spans.append(slice(int(line[0]), int(line[-1]) + 1) if line.size else slice(0, 0))
    return spans[0], spans[1]

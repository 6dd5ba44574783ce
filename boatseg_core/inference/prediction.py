"""The answer for one image, and how logits become it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from boatseg_core.imaging import components, rle
from boatseg_core.inference.calibration import CLIP, Floats, ScoreCalibration, sigmoid


@dataclass(frozen=True)
class Prediction:
    """Objects found in one image, ordered by their first pixel in column-major order.

    Attributes:
        width: Columns of the image, in pixels.
        height: Rows of the image, in pixels.
        rles: Run-length encoding of each object (column-major, 1-indexed).
        boxes: ``[x, y, width, height]`` of each object, in pixels, x and y zero-based.
        areas: Pixels of each object.
        scores: Probability that each object is a true one, that is, covers one with an IoU over
            0.5; where the model was not calibrated, the mean probability of its pixels.
        mean_logits: Mean logit of each object's pixels, float64 ``[K]``.
        means: Mean probability of each object's pixels.
    """

    width: int
    height: int
    rles: list[str]
    boxes: list[list[int]]
    areas: list[int]
    scores: list[float]
    mean_logits: Floats = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    means: list[float] = field(default_factory=list, repr=False, compare=False)

    @property
    def boat_count(self) -> int:
        """How many objects."""
        return len(self.rles)

    @property
    def boat_area(self) -> int:
        """Pixels of all objects."""
        return sum(self.areas)

    def labels(self) -> npt.NDArray[np.int32]:
        """Number the objects' pixels: int32 ``[H, W]``, 0 on the background, 1.. in order."""
        flat = np.zeros(self.width * self.height, np.int32)
        for number, text in enumerate(self.rles, start=1):
            for start, length in rle.parse(text).tolist():
                flat[start : start + length] = number
        return flat.reshape(self.width, self.height).T

    def mask(self) -> npt.NDArray[np.bool_]:
        """Paint all objects: bool ``[H, W]``."""
        columns = np.zeros((self.width, self.height), dtype=np.uint8)
        for text in self.rles:
            rle.fill(rle.parse(text), columns)
        return columns.T.astype(np.bool_)


def above(logits: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
    """Pixels with a higher probability: bool ``[H, W]``. A NaN is never above the threshold."""
    return np.asarray(logits > np.float32(math.log(threshold / (1.0 - threshold))))


def from_logits(
    logits: npt.NDArray[np.float32],
    *,
    threshold: float,
    min_area: int,
    split_neck: float = 0.0,
    calibration: ScoreCalibration | None = None,
) -> Prediction:
    """Turn one image's logits into objects.

    Pixels above the threshold are grouped into 8-connected regions; regions with fewer than
    ``min_area`` pixels are dropped.

    Args:
        logits: float32 ``[H, W]``.
        threshold: Probability in (0, 1).
        min_area: In pixels.
        split_neck: Regions are cut at necks narrower than this share of the narrower part; 0
            leaves them whole.
        calibration: Turns what the pixels of an object say into its score; None takes their mean
            probability.
    """
    height, width = logits.shape
    mask = above(logits, threshold)
    runs = components.find(mask, neck=split_neck, min_area=min_area)
    if not runs.regions:
        return Prediction(width, height, [], [], [], [])

    # Runs of one region next to each other, in column-major order within it.
    order = np.argsort(runs.region, kind="stable")
    column, row, length = runs.column[order], runs.row[order], runs.length[order]
    first = np.searchsorted(runs.region[order], np.arange(runs.regions, dtype=np.int64))
    areas = np.add.reduceat(length, first)
    left, right = np.minimum.reduceat(column, first), np.maximum.reduceat(column, first)
    top, bottom = np.minimum.reduceat(row, first), np.maximum.reduceat(row + length, first)

    inside = logits.T[mask.T].astype(np.float64)
    begin = np.cumsum(runs.length) - runs.length
    means, mean_logits = (
        np.add.reduceat(np.add.reduceat(values, begin)[order], first) / areas
        for values in (sigmoid(inside), np.minimum(inside, CLIP))
    )

    start = column * height + row
    ends = np.append(first[1:], len(order))
    kept = np.flatnonzero(areas >= min_area)
    scores = means if calibration is None else calibration.scores(mean_logits)
    return Prediction(
        width=width,
        height=height,
        rles=[_encode(start[first[k] : ends[k]], length[first[k] : ends[k]]) for k in kept],
        boxes=[
            [int(left[k]), int(top[k]), int(right[k] - left[k] + 1), int(bottom[k] - top[k])]
            for k in kept
        ],
        areas=areas[kept].tolist(),
        scores=scores[kept].tolist(),
        mean_logits=mean_logits[kept],
        means=means[kept].tolist(),
    )


def _encode(start: components.Ints, length: components.Ints) -> str:
    """Encode sorted runs, merging a run at a column's foot with one at the next column's head."""
    head = np.empty(len(start), dtype=np.bool_)
    head[0] = True
    head[1:] = start[1:] != start[:-1] + length[:-1]
    firsts = np.flatnonzero(head)
    pairs = np.empty((len(firsts), 2), dtype=np.int64)
    pairs[:, 0] = start[firsts] + 1
    pairs[:, 1] = np.add.reduceat(length, firsts)
    return " ".join(map(str, pairs.reshape(-1).tolist()))

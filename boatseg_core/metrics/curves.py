"""What every threshold would give, and whether probabilities can be believed, in one pass.

A pixel belongs to an object where its logit is above the threshold's. One histogram of the pixels
an image, split by truth, therefore holds the counts at *every* threshold of the grid, and the
reliability diagram besides; nothing is predicted twice.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from boatseg_core.metrics.iou import IouAccumulator

Floats: TypeAlias = npt.NDArray[np.float64]
Logits: TypeAlias = npt.NDArray[np.float32]

GRID: Floats = np.arange(1, 100) / 100
"""Thresholds of the curve: probabilities 0.01 to 0.99."""

BINS = 20
"""Bins of the reliability diagram of pixels, of equal width."""

SCORE_BINS = 10
"""Bins of that of objects, of which there are far fewer."""

_CHANCES = 400  # simulated test sets behind ``ece_by_chance``

# In float32, as the predictor cuts: a pixel on the edge falls on the same side in both.
_EDGES: Logits = np.array([math.log(p / (1 - p)) for p in GRID], dtype=np.float32)


class PixelCurves:
    """Pixel counts of every image at every threshold of :data:`GRID`, and calibration.

    Memory: three sums a threshold, and the histograms; it does not grow with the images.
    """

    def __init__(self) -> None:
        size = len(GRID)
        self._both, self._union = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self._ious, self._boat_ious = np.zeros(size), np.zeros(size)
        self._alarms = np.zeros(size, np.int64)
        self._images = self._boats = 0
        self._pixels = np.zeros((2, size + 1), np.int64)
        self._mass = np.zeros(size + 1)
        self._squared = 0.0

    def update(self, logits: Logits, truth: npt.NDArray[np.bool_]) -> None:
        """Add one image.

        Args:
            logits: float32 ``[H, W]``.
            truth: bool ``[H, W]``.

        Raises:
            ValueError: The shapes differ.
        """
        if logits.shape != truth.shape:
            raise ValueError(f"logits {logits.shape} and truth {truth.shape} differ in shape")
        chance = probabilities(logits)
        # Most of a picture is below the lowest threshold, and needs no search.
        bins = np.zeros(logits.shape, np.intp)
        high = logits > _EDGES[0]
        bins[high] = np.searchsorted(_EDGES, logits[high], side="left")
        size = len(GRID) + 1
        counts = np.bincount((bins + size * truth).ravel(), minlength=2 * size).reshape(2, size)
        self._pixels += counts
        self._mass += np.bincount(bins.ravel(), weights=chance.ravel(), minlength=size)
        self._squared += float(np.square(chance - truth, dtype=np.float64).sum())

        # Bin k holds the pixels above exactly k thresholds.
        above = counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        extra, both = above
        union = extra + int(counts[1].sum())
        ious = np.where(union > 0, both / np.maximum(union, 1), 1.0)
        self._both += both
        self._union += union
        self._ious += ious
        self._images += 1
        if counts[1].any():
            self._boats += 1
            self._boat_ious += ious
        else:
            self._alarms += extra > 0

    def thresholds(self) -> list[dict[str, float | None]]:
        """What each threshold of the grid gives, pixel by pixel (no sieve, no splitting).

        Returns:
            One mapping a threshold: ``threshold``, ``per_image_iou``, ``dataset_iou``,
            ``boat_iou`` and ``empty_false_positive_rate`` as in :mod:`boatseg_core.metrics.iou`;
            None where a mean is over nothing.
        """
        empty = self._images - self._boats
        return [
            {
                "threshold": float(GRID[at]),
                "per_image_iou": _share(self._ious[at], self._images),
                "dataset_iou": _share(self._both[at], self._union[at])
                if self._union[at]
                else (1.0 if self._images else None),
                "boat_iou": _share(self._boat_ious[at], self._boats),
                "empty_false_positive_rate": _share(self._alarms[at], empty),
            }
            for at in range(len(GRID))
        ]

    def calibration(self) -> dict[str, Any]:
        """Compare probabilities with how often they come true.

        Returns:
            ``ece``, the expected calibration error of all pixels (Naeini et al. 2015), and
            ``ece_above_1_percent``, that of the pixels the model gives a chance at all: most
            pixels are open sea that nobody doubts, and alone they make any model look calibrated.
            ``brier``, the mean squared error of the probabilities; ``bins``, see :func:`bins`.
        """
        rows = bins(*(_coarse(v) for v in (self._pixels.sum(0), self._pixels[1], self._mass)))
        shown = self._pixels.copy(), self._mass.copy()
        shown[0][:, 0], shown[1][0] = 0, 0.0
        above = bins(*(_coarse(v) for v in (shown[0].sum(0), shown[0][1], shown[1])))
        total = int(self._pixels.sum())
        return {
            "ece": expected_error(rows),
            "ece_above_1_percent": expected_error(above),
            "brier": self._squared / total if total else None,
            "bins": rows,
        }


class ScoreReliability:
    """Whether an object with a score of 0.8 is real in 8 cases out of 10.

    Keeps nine bytes an object.
    """

    def __init__(self) -> None:
        self._scores: list[Floats] = []
        self._right: list[npt.NDArray[np.bool_]] = []

    def update(self, scores: npt.ArrayLike, right: npt.ArrayLike) -> None:
        """Add predicted objects: their scores 0 to 1, and whether each is a true one."""
        self._scores.append(np.asarray(scores, dtype=np.float64))
        self._right.append(np.asarray(right, dtype=np.bool_))

    def compute(self) -> dict[str, Any]:
        """Compare scores with outcomes.

        Returns:
            ``ece`` and ``brier`` as for pixels, None without objects. ``ece_by_chance``, what the
            error of scores that tell the truth would be on as many objects, on average: few
            objects never agree with their scores exactly (Bröcker & Smith 2007).
            ``bins`` as for pixels, each with ``low`` and ``high``, Wilson's 95 % interval of its
            ``accuracy``.
        """
        scores = np.concatenate([np.zeros(0), *self._scores])
        right = np.concatenate([np.zeros(0), *self._right])
        where = np.minimum((scores * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
        count, came_true, mass = (
            np.bincount(where, weights=weight, minlength=SCORE_BINS).astype(np.float64)
            for weight in (np.ones(len(scores)), right, scores)
        )
        rows = bins(count, came_true, mass)
        for row, true, cases in zip(rows, came_true, count, strict=True):
            row["low"], row["high"] = wilson(float(true), float(cases))
        return {
            "ece": expected_error(rows),
            "ece_by_chance": _error_by_chance(scores, where, mass),
            "brier": float(np.square(scores - right).mean()) if len(scores) else None,
            "bins": rows,
        }


def _error_by_chance(scores: Floats, where: npt.NDArray[np.int64], mass: Floats) -> float | None:
    """Mean calibration error of outcomes drawn by the scores themselves; seeded."""
    if not len(scores):
        return None
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(_CHANCES):
        drawn = generator.random(len(scores)) < scores
        came_true = np.bincount(where, weights=drawn, minlength=SCORE_BINS)
        errors.append(np.abs(came_true - mass).sum() / len(scores))
    return float(np.mean(errors))


def wilson(true: float, cases: float) -> tuple[float | None, float | None]:
    """Interval of a share that holds 95 % (Wilson 1927); None of no case."""
    if not cases:
        return None, None
    z = 1.959963984540054
    share, room = true / cases, 1 + z**2 / cases
    middle = (share + z**2 / (2 * cases)) / room
    half = z * math.sqrt(share * (1 - share) / cases + z**2 / (4 * cases**2)) / room
    return max(0.0, middle - half), min(1.0, middle + half)


def bins(count: Floats, right: Floats, mass: Floats) -> list[dict[str, float | int | None]]:
    """The rows of a reliability diagram.

    Args:
        count: Cases in each bin.
        right: Those of them that came true.
        mass: Sum of their probabilities.

    Returns:
        One mapping a bin: ``from``, ``below``, ``count``, ``confidence`` (mean probability) and
        ``accuracy`` (share that came true), both None for an empty bin.
    """
    width = len(count)
    return [
        {
            "from": at / width,
            "below": (at + 1) / width,
            "count": int(count[at]),
            "confidence": _share(mass[at], count[at]),
            "accuracy": _share(right[at], count[at]),
        }
        for at in range(width)
    ]


def expected_error(rows: list[dict[str, float | int | None]]) -> float | None:
    """Expected calibration error: the mean gap between both columns, weighted by cases."""
    total = sum(row["count"] or 0 for row in rows)
    if not total:
        return None
    gaps = (
        row["count"] * abs(row["confidence"] - row["accuracy"])
        for row in rows
        if row["count"] and row["confidence"] is not None and row["accuracy"] is not None
    )
    return float(sum(gaps)) / total


class ObjectCurve:
    """F2, IoU and false alarms of the predictions as they are given out, over some thresholds.

    With sieve and splitting an object's fate is no sum of pixels, so these thresholds are fewer;
    each image's logits are computed once all the same.

    Args:
        thresholds: Probabilities, ascending.
    """

    def __init__(self, thresholds: tuple[float, ...]) -> None:
        self.thresholds = thresholds
        self._iou = [IouAccumulator() for _ in thresholds]
        self._f2 = np.zeros(len(thresholds))
        self._images = 0

    def update(
        self, counts: list[tuple[int, int, int]], f2_scores: list[float] | npt.NDArray[Any]
    ) -> None:
        """Add one image: at each threshold its pixel counts and its F2."""
        for accumulator, (both, extra, missed) in zip(self._iou, counts, strict=True):
            accumulator.update_counts([both], [extra], [missed])
        self._f2 += np.asarray(f2_scores)
        self._images += 1

    def compute(self) -> list[dict[str, float | None]]:
        """One mapping a threshold: ``threshold``, ``f2`` and the metrics of iou."""
        rows: list[dict[str, float | None]] = []
        for at, threshold in enumerate(self.thresholds):
            found = self._iou[at].compute()
            rows.append(
                {"threshold": threshold, "f2": _share(self._f2[at], self._images)}
                | {
                    name: found[name] if math.isfinite(found[name]) else None
                    for name in (
                        "per_image_iou",
                        "dataset_iou",
                        "boat_iou",
                        "empty_false_positive_rate",
                    )
                }
            )
        return rows


def probabilities(logits: Logits) -> Logits:
    """The logistic function, float32, without overflow."""
    with np.errstate(over="ignore"):  # exp(-x) of a very negative x is infinite, and 1 / inf is 0
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)


def _coarse(fine: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sum the 100 fine bins to those of the diagram."""
    return np.asarray(fine.reshape(BINS, -1).sum(axis=1))


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None

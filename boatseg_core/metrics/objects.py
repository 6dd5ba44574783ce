"""How well single objects are found: matching, F2 of the Airbus challenge, size bins.

The challenge's score (https://www.kaggle.com/c/airbus-ship-detection/overview/evaluation): at each
IoU threshold from 0.5 to 0.95 in steps of 0.05 a predicted object is a hit where its IoU with a
true object is *greater* than the threshold; an image scores the mean over the thresholds of

    F2 = 5 TP / (5 TP + 4 FN + FP)

and a set the mean over its images. An image without objects scores 1 where nothing is predicted
and 0 otherwise.

Matching needs no search. Predicted objects share no pixel, so a true object cannot overlap two of
them by more than half (its IoU with the one says that more than half of it lies in it; Kirillov et
al. 2019, section 4.1); true objects, which come from independent label rows, may overlap each
other. Above 0.5 the pairs therefore form stars with a prediction in the middle, and the largest
one-to-one matching at a threshold has as many pairs as there are predictions with *any* true
object above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Labels: TypeAlias = npt.NDArray[np.signedinteger[Any]]
Floats: TypeAlias = npt.NDArray[np.float64]

F2_THRESHOLDS: Floats = np.arange(50, 100, 5) / 100
"""IoU thresholds of the challenge."""

SIZE_EDGES = (0, 100, 400, 1600, 6400)
"""Lower edges of the size bins, in pixels of the object's area; the last bin has no upper one."""


@dataclass(frozen=True)
class Overlap:
    """How the predicted and the true objects of one image overlap.

    Attributes:
        predicted: float64 ``[P]``, each predicted object's best IoU with a true one; 0 for none.
        true: float64 ``[T]``, each true object's best IoU with a predicted one.
        true_areas: int64 ``[T]``, in pixels.
    """

    predicted: Floats
    true: Floats
    true_areas: npt.NDArray[np.int64]


def overlap(predicted: Labels, true: Sequence[Labels]) -> Overlap:
    """Compare the objects of one image.

    Args:
        predicted: ``[H, W]``, 0 where there is no object, else 1..P.
        true: Layers ``[H, W]`` of the true objects, numbered the same way from 1 in each layer.
            One layer does where no two objects share a pixel.

    Raises:
        ValueError: The shapes differ.
    """
    flat = np.asarray(predicted).ravel()
    inside = np.flatnonzero(flat)
    which = flat[inside].astype(np.int64)
    areas = np.bincount(which, minlength=1)[1:]
    best = np.zeros(len(areas))
    found: list[Floats] = []
    sizes: list[npt.NDArray[np.int64]] = []
    for layer in true:
        if layer.shape != predicted.shape:
            raise ValueError(f"prediction {predicted.shape} and truth {layer.shape} differ")
        truth = np.asarray(layer).ravel()
        size = np.bincount(truth[truth > 0].astype(np.int64), minlength=1)[1:]
        both = np.bincount(
            which * (len(size) + 1) + truth[inside], minlength=(len(areas) + 1) * (len(size) + 1)
        ).reshape(len(areas) + 1, len(size) + 1)[1:, 1:]
        union = areas[:, None] + size[None, :] - both
        ious = both / np.maximum(union, 1)
        np.maximum(best, ious.max(axis=1, initial=0.0), out=best)
        found.append(ious.max(axis=0, initial=0.0))
        sizes.append(size)
    none = np.zeros(0)
    return Overlap(
        best,
        np.concatenate([none, *found]),
        np.concatenate([none.astype(np.int64), *sizes]).astype(np.int64),
    )


def hits(predicted: Floats) -> npt.NDArray[np.int64]:
    """Count the true positives at each of :data:`F2_THRESHOLDS`.

    Args:
        predicted: :attr:`Overlap.predicted`.

    Returns:
        int64 ``[10]``.
    """
    above = predicted[None, :] > F2_THRESHOLDS[:, None]
    return np.asarray(above.sum(axis=1), dtype=np.int64)


def f2(true_positives: npt.NDArray[np.int64], predicted: int, true: int) -> float:
    """The challenge's score of one image.

    Args:
        true_positives: At each of :data:`F2_THRESHOLDS`, see :func:`hits`.
        predicted: Number of predicted objects.
        true: Number of true objects.
    """
    if not true:
        return float(not predicted)
    missed, extra = true - true_positives, predicted - true_positives
    return float((5 * true_positives / (5 * true_positives + 4 * missed + extra)).mean())


class SizeBins:
    """Recall and overlap of the true objects by their size; memory does not grow with images.

    Args:
        edges: Lower edges of the bins, in pixels, ascending from 0.
    """

    def __init__(self, edges: Sequence[int] = SIZE_EDGES) -> None:
        if not edges or edges[0] != 0 or list(edges) != sorted(set(edges)):
            raise ValueError("the edges of size bins ascend from 0")
        self.edges = tuple(edges)
        self._sums = np.zeros((4, len(edges)))

    def update(self, found: Overlap) -> None:
        """Add the objects of one image."""
        where = np.searchsorted(self.edges, found.true_areas, side="right") - 1
        weights = (np.ones(len(where)), found.true > 0.5, found.true > 0, found.true)
        for total, weight in zip(self._sums, weights, strict=True):
            total += np.bincount(where, weights=weight, minlength=len(self.edges))

    def compute(self) -> list[dict[str, float | int | None]]:
        """Summarise each bin.

        Returns:
            One mapping a bin: ``from`` and ``below`` (pixels; ``below`` is None for the last),
            ``objects``, ``recall`` (share with an IoU over 0.5), ``touched`` (share that any
            prediction overlaps), ``mean_iou`` (best IoU, 0 where missed); the shares are None
            for a bin without objects.
        """
        rows: list[dict[str, float | int | None]] = []
        for at, edge in enumerate(self.edges):
            count, half, touched, total = (float(value) for value in self._sums[:, at])
            rows.append(
                {
                    "from": edge,
                    "below": self.edges[at + 1] if at + 1 < len(self.edges) else None,
                    "objects": int(count),
                    "recall": half / count if count else None,
                    "touched": touched / count if count else None,
                    "mean_iou": total / count if count else None,
                }
            )
        return rows

"""Intersection over union of binary masks, and the score of predicting nothing beside it.

Most images of a ship survey show no ship, and an empty prediction on an empty image counts as
perfect, so a model that predicts nothing already scores the share of empty images. Every summary
therefore carries that floor, the IoU over the images that do show an object, and the rate of
false alarms on those that do not.

Definitions agree with ``segmentation_models_pytorch.metrics.iou_score``: :attr:`per_image_iou` is
its ``reduction="micro-imagewise"`` and :attr:`dataset_iou` its ``reduction="micro"``, both with
``zero_division=1.0`` and both over the whole data set rather than averaged over batches.
"""

from __future__ import annotations

import math
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

Mask: TypeAlias = npt.NDArray[Any]
Counts: TypeAlias = npt.ArrayLike


def pixel_counts(pred: Mask, truth: Mask) -> tuple[int, int, int]:
    """Count true positive, false positive and false negative pixels.

    Args:
        pred: Predicted mask, any shape; non-zero is object.
        truth: True mask of the same shape.

    Raises:
        ValueError: The shapes differ.
    """
    if pred.shape != truth.shape:
        raise ValueError(f"prediction {pred.shape} and truth {truth.shape} differ in shape")
    pred, truth = pred.astype(bool, copy=False), truth.astype(bool, copy=False)
    both = int(np.count_nonzero(pred & truth))
    return both, int(np.count_nonzero(pred)) - both, int(np.count_nonzero(truth)) - both


def iou(pred: Mask, truth: Mask) -> float:
    """IoU of one image; 1 where both masks are empty.

    Raises:
        ValueError: The shapes differ.
    """
    both, extra, missed = pixel_counts(pred, truth)
    union = both + extra + missed
    return both / union if union else 1.0


class IouAccumulator:
    """Pixel counts of many images, and what follows from them.

    Keeps three integers an image, so merging and order never change the result.
    """

    def __init__(self) -> None:
        self._counts: list[npt.NDArray[np.int64]] = []

    def update(self, pred: Mask, truth: Mask) -> None:
        """Add one image.

        Args:
            pred: Predicted mask ``[H, W]``; non-zero is object.
            truth: True mask ``[H, W]``.

        Raises:
            ValueError: The shapes differ.
        """
        both, extra, missed = pixel_counts(pred, truth)
        self.update_counts([both], [extra], [missed])

    def update_counts(
        self, true_positive: Counts, false_positive: Counts, false_negative: Counts
    ) -> None:
        """Add images whose pixels were counted elsewhere, for example on a GPU.

        Args:
            true_positive: Pixels in both masks, ``[N]`` integers.
            false_positive: Pixels only predicted, ``[N]``.
            false_negative: Pixels only in the truth, ``[N]``.

        Raises:
            ValueError: The lengths differ or a count is negative.
        """
        columns = [
            np.atleast_1d(np.asarray(column, dtype=np.int64))
            for column in (true_positive, false_positive, false_negative)
        ]
        if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
            raise ValueError("pixel counts must be three vectors of one length")
        counts = np.stack(columns, axis=1)
        if counts.size and counts.min() < 0:
            raise ValueError("a pixel count is negative")
        self._counts.append(counts)

    def merge(self, other: IouAccumulator) -> Self:
        """Add all images of another accumulator."""
        self._counts.extend(other._counts)
        return self

    def compute(self) -> dict[str, float]:
        """Summarise the images seen so far.

        Returns:
            ``per_image_iou`` (mean over images; empty truth and empty prediction count 1),
            ``dataset_iou`` (all pixels in one ratio), ``boat_iou`` (mean over the images whose
            truth is not empty), ``empty_false_positive_rate`` (share of the images with empty
            truth in which anything is predicted), ``floor_per_image_iou`` and
            ``floor_dataset_iou`` (the same two scores of a model that predicts nothing),
            ``images``, ``boat_images``. A mean over no images is ``nan``.
        """
        counts = np.concatenate(self._counts) if self._counts else np.zeros((0, 3), dtype=np.int64)
        both, extra, missed = counts.T
        union = both + extra + missed
        each = np.where(union > 0, both / np.maximum(union, 1), 1.0)
        has_boat = both + missed > 0
        total = int(union.sum())
        return {
            "per_image_iou": _mean(each),
            "dataset_iou": int(both.sum()) / total if total else _empty_ratio(len(counts)),
            "boat_iou": _mean(each[has_boat]),
            "empty_false_positive_rate": _mean((extra > 0)[~has_boat]),
            "floor_per_image_iou": _mean(~has_boat),
            "floor_dataset_iou": (0.0 if bool(has_boat.any()) else _empty_ratio(len(counts))),
            "images": float(len(counts)),
            "boat_images": float(np.count_nonzero(has_boat)),
        }


def selection_score(metrics: dict[str, float]) -> float:
    """The one number a checkpoint or a trial is chosen by.

    ``boat_iou * (1 - empty_false_positive_rate / 2)``: led by the images with objects, so a model
    that predicts nothing scores 0 however many images are empty, and false alarms on empty images
    cost up to half. Without empty images it is ``boat_iou``.

    Args:
        metrics: What :meth:`IouAccumulator.compute` returned.

    Returns:
        0 to 1; 0 where no image shows an object.
    """
    boats, alarms = metrics["boat_iou"], metrics["empty_false_positive_rate"]
    if math.isnan(boats):
        return 0.0
    return boats * (1 - (0.0 if math.isnan(alarms) else alarms) / 2)


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan


def _empty_ratio(images: int) -> float:
    return 1.0 if images else math.nan

"""Everything one evaluation says about a model, gathered image by image.

The card keeps some hundred bytes an image, never a picture: the bootstrap needs every image's own
figures, and so do the lists of the best and the worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from boatseg_core.metrics.bootstrap import Interval, intervals
from boatseg_core.metrics.conditions import Condition, conditions
from boatseg_core.metrics.objects import SIZE_EDGES, Overlap, SizeBins, f2, hits

Floats: TypeAlias = npt.NDArray[np.float64]

LARGE = 400
"""Boats of more pixels than this count as large, in ``large_boat_iou``."""

# Of these a third of the sea says enough; the rest only repeats them.
_PER_CONDITION = ("boat_iou", "f2", "per_image_iou", "empty_false_positive_rate")


@dataclass(frozen=True)
class Headline:
    """One number and the floor beside it.

    Attributes:
        interval: Value and confidence interval.
        floor: What a model that predicts nothing scores on the same images; NaN where that says
            nothing (the precision of no prediction).
        gain: Interval of the difference from the floor, from the same resamples; None where the
            floor is a constant.
    """

    interval: Interval
    floor: float
    gain: Interval | None = None


class Scorecard:
    """Scores of single images, and what they add up to."""

    def __init__(self) -> None:
        self.image_ids: list[str] = []
        self.groups: list[str] = []
        self.sizes = SizeBins()
        self._rows: list[tuple[float, ...]] = []

    def update(
        self,
        image_id: str,
        group: str,
        counts: tuple[int, int, int],
        found: Overlap,
    ) -> None:
        """Add one image.

        Args:
            image_id: Name.
            group: Images of one group show the same place.
            counts: True positive, false positive and false negative pixels.
            found: Overlap of its objects.
        """
        true_positives = hits(found.predicted)
        predicted, true = len(found.predicted), len(found.true)
        self.image_ids.append(image_id)
        self.groups.append(group)
        self.sizes.update(found)
        self._rows.append(
            (
                *counts,
                f2(true_positives, predicted, true),
                predicted,
                true,
                int(true_positives[0]),
                int(found.true_areas.min()) if true else 0,
            )
        )

    def images(self) -> dict[str, Floats]:
        """Figures of each image, ``[N]`` each, in the order they came.

        ``both``, ``extra``, ``missed`` (pixels), ``f2``, ``predicted``, ``true``, ``hits`` (at an
        IoU over 0.5), ``smallest`` (pixels of its smallest true object; 0 for none), ``iou``.
        """
        table = np.array(self._rows, dtype=np.float64).reshape(-1, 8)
        names = ("both", "extra", "missed", "f2", "predicted", "true", "hits", "smallest")
        columns = dict(zip(names, table.T, strict=True))
        union = columns["both"] + columns["extra"] + columns["missed"]
        columns["iou"] = np.where(union > 0, columns["both"] / np.maximum(union, 1), 1.0)
        return columns

    def headlines(
        self,
        chosen: npt.NDArray[np.bool_] | None = None,
        names: Sequence[str] = (),
        **bootstrap: Any,
    ) -> dict[str, Headline]:
        """The numbers a model is known by, each with its interval and its floor.

        Args:
            chosen: bool ``[N]``, images to look at; by default all.
            names: Numbers wanted; by default all.
            **bootstrap: ``draws``, ``confidence`` and ``seed``, see
                :func:`boatseg_core.metrics.bootstrap.intervals`.

        Returns:
            By name: ``boat_iou`` (mean IoU of images with objects), ``large_boat_iou`` (of those
            whose objects all exceed :data:`LARGE` pixels), ``empty_false_positive_rate``,
            ``per_image_iou``, ``dataset_iou``, ``f2``, ``boat_f2`` (on images with objects),
            ``recall`` and ``precision`` of objects at an IoU over 0.5.
        """
        terms, floors = _terms(self.images())
        keep = np.ones(len(self.image_ids), np.bool_) if chosen is None else chosen
        wanted = [name for name in terms if not names or name in names]
        gains = {
            f"gain {name}": (terms[name][0] - floor[0], terms[name][1])
            for name in wanted
            for floor in [floors[name]]
            if isinstance(floor, tuple)
        }
        parts = {name: terms[name] for name in wanted} | gains
        found = intervals(
            np.array(self.groups)[keep],
            {name: (upper[keep], lower[keep]) for name, (upper, lower) in parts.items()},
            rates=wanted,  # gains are none: they can be negative
            **bootstrap,
        )
        return {
            name: Headline(found[name], _floor(floors[name], keep), found.get(f"gain {name}"))
            for name in wanted
        }

    def by_condition(
        self, measured: Mapping[str, npt.ArrayLike], **bootstrap: Any
    ) -> list[tuple[Condition, list[tuple[str, int, dict[str, Headline]]]]]:
        """The main numbers by sea condition.

        Args:
            measured: See :func:`boatseg_core.metrics.conditions.conditions`, in this card's order.
            **bootstrap: As for :meth:`headlines`.

        Returns:
            Each condition with its levels: name, number of images, headlines.
        """
        return [
            (
                condition,
                [
                    (
                        level,
                        int(inside.sum()),
                        self.headlines(inside, _PER_CONDITION, **bootstrap),
                    )
                    for at, level in enumerate(condition.levels)
                    for inside in [condition.level == at]
                    if inside.any()
                ],
            )
            for condition in conditions(measured)
        ]


_Term: TypeAlias = tuple[Floats, Floats]


def _terms(of: dict[str, Floats]) -> tuple[dict[str, _Term], dict[str, _Term | float]]:
    """Upper and lower terms of each number, and of its floor (or the floor, if constant)."""
    one = np.ones(len(of["iou"]))
    boats = (of["true"] > 0) | (of["both"] + of["missed"] > 0)
    empty = ~boats
    large = boats & (of["smallest"] > LARGE)
    union = of["both"] + of["extra"] + of["missed"]
    terms: dict[str, _Term] = {
        "boat_iou": (of["iou"] * boats, one * boats),
        "large_boat_iou": (of["iou"] * large, one * large),
        "empty_false_positive_rate": (one * (empty & (of["extra"] > 0)), one * empty),
        "per_image_iou": (of["iou"], one),
        "dataset_iou": (of["both"], union),
        "f2": (of["f2"], one),
        "boat_f2": (of["f2"] * boats, one * boats),
        "recall": (of["hits"], of["true"]),
        "precision": (of["hits"], of["predicted"]),
    }
    floors: dict[str, _Term | float] = dict.fromkeys(terms, 0.0)
    floors |= {"per_image_iou": (one * empty, one), "f2": (one * empty, one)}
    floors["precision"] = float("nan")
    return terms, floors


def _floor(floor: _Term | float, keep: npt.NDArray[np.bool_]) -> float:
    if isinstance(floor, float):
        return floor
    upper, lower = (side[keep].sum() for side in floor)
    return float(upper / lower) if lower else float("nan")


__all__ = ["LARGE", "SIZE_EDGES", "Headline", "Scorecard"]

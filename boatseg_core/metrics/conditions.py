"""Sea conditions, as far as stored measurements tell them.

Nobody labelled the weather. What is stored of every image are plain measurements
(:mod:`boatseg_core.imaging.measure`); each is cut at its terciles over the evaluated images, and
two combinations are named after what they mostly turn out to be. They are proxies: a bright, grey
image is usually haze or cloud, a sharp one with high contrast usually glint, waves or a coast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MEASURES: dict[str, tuple[str, str, str]] = {
    "brightness": ("dark", "medium", "bright"),
    "contrast": ("flat", "medium", "contrasty"),
    "sharpness": ("smooth", "medium", "rough"),
    "saturation": ("grey", "medium", "coloured"),
}
"""Measurements that are cut at their terciles, and what the thirds are called."""

UNKNOWN = "not measured"

# name: (measure, third) pairs that all have to hold
_NAMED = {
    "haze or cloud": (("brightness", "bright"), ("saturation", "grey")),
    "glint, waves or coast": (("sharpness", "rough"), ("contrast", "contrasty")),
}


@dataclass(frozen=True)
class Condition:
    """One way of telling images apart.

    Attributes:
        name: What is told apart, for example ``brightness``.
        levels: Its values, in order.
        level: Level of each image, as an index into ``levels``, int64 ``[N]``.
        edges: Where a measurement was cut; empty for a combination.
    """

    name: str
    levels: tuple[str, ...]
    level: npt.NDArray[np.int64]
    edges: tuple[float, ...] = ()


def conditions(measured: Mapping[str, npt.ArrayLike]) -> list[Condition]:
    """Sort images by the conditions they were taken in.

    Args:
        measured: By the names of :data:`MEASURES`, one number an image, ``[N]`` each; NaN where an
            image was not measured. Names may be missing.

    Returns:
        The thirds of each measurement that is there and differs at all, then the combinations
        whose measurements are there.
    """
    found = {}
    for name, thirds in MEASURES.items():
        values = np.asarray(measured.get(name, ()), dtype=np.float64)
        known = values[np.isfinite(values)]
        if not known.size or np.ptp(known) == 0:
            continue
        edges = np.quantile(known, (1 / 3, 2 / 3))
        level = np.searchsorted(edges, values, side="left")
        level[~np.isfinite(values)] = len(thirds)
        found[name] = Condition(
            name,
            (*thirds, UNKNOWN) if known.size < values.size else thirds,
            level.astype(np.int64),
            tuple(float(edge) for edge in edges),
        )
    rows = list(found.values())
    for name, parts in _NAMED.items():
        if all(measure in found for measure, _ in parts):
            holds = np.logical_and.reduce(
                [found[m].level == MEASURES[m].index(third) for m, third in parts]
            )
            rows.append(Condition(name, ("no", "yes"), holds.astype(np.int64)))
    return rows

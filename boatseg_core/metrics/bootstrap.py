"""Confidence intervals that know that images of one place are not independent.

A mosaic gives dozens of images; resampling images one by one would pretend that each is new
evidence. So whole groups are drawn with replacement (the cluster bootstrap: Davison & Hinkley
1997, section 3.8; Field & Welsh 2007). Intervals are bias-corrected and accelerated (BCa: Efron
1987), the acceleration from leaving out one group at a time.

Every statistic here is a ratio of two sums over images (a mean is one whose lower sum counts), so
that a resampled value is a weighted sum over groups and thousands of them are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

# Weights of groups held at once; a million of them are 8 MB.
_HELD = 2**20


@dataclass(frozen=True)
class Interval:
    """A value and how far it can be trusted.

    Attributes:
        value: On all images; NaN over none.
        low: Lower end; NaN where fewer than two groups say anything.
        high: Upper end.
        groups: Groups of images the statistic has something from.
    """

    value: float
    low: float
    high: float
    groups: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON, which has no NaN."""
        return {
            "value": _finite(self.value),
            "low": _finite(self.low),
            "high": _finite(self.high),
            "groups": self.groups,
        }


def intervals(
    groups: Sequence[Any] | npt.NDArray[Any],
    statistics: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    rates: Sequence[str] = (),
) -> dict[str, Interval]:
    """Bootstrap ratios of sums over groups.

    Args:
        groups: Group of each image, ``[N]``.
        statistics: By name, upper and lower terms of each image, ``[N]`` each; the statistic is
            the sum of the upper ones over the sum of the lower ones.
        draws: Resamples.
        confidence: Share of cases in which the interval is to hold the truth.
        seed: The same seed gives the same intervals.
        rates: Names of statistics that lie between 0 and 1, such as shares and mean IoUs. Where
            one is 0 or 1 in every group, resampling finds no spread at all; it then gets the exact
            binomial bound for so many groups (Clopper & Pearson 1934): nothing in 9 places is no
            proof of nothing, and all in 9 none of all. (It holds for any mean over equal groups:
            a value between 0 and 1 whose mean is ``m`` is 0 with a chance of at most ``1 - m``.)

    Raises:
        ValueError: Lengths differ, or the numbers are out of range.
    """
    if draws < 1 or not 0 < confidence < 1:
        raise ValueError("draws has to be positive and confidence between 0 and 1")
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    upper, lower = (_sums(statistics, side, member, len(names)) for side in (0, 1))
    totals = upper.sum(0), lower.sum(0)
    values = _ratio(*totals)
    drawn = _draw(upper, lower, draws, seed)
    left_out = _ratio(totals[0] - upper, totals[1] - lower)
    found = {}
    for at, name in enumerate(statistics):
        counted = lower[:, at] != 0
        value, count = float(values[at]), int(counted.sum())
        if count < 2:
            low = high = math.nan
        elif name in rates and value in (0.0, 1.0):
            slack = 1 - ((1 - confidence) / 2) ** (1 / count)
            low, high = (0.0, slack) if value == 0 else (1 - slack, 1.0)
        else:
            low, high = _bca(value, drawn[:, at], left_out[counted, at], confidence)
        found[name] = Interval(value, low, high, count)
    return found


def _sums(
    statistics: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    side: int,
    member: npt.NDArray[np.intp],
    groups: int,
) -> Floats:
    """Sum the terms of each group: ``[groups, statistics]``."""
    columns = []
    for name, terms in statistics.items():
        term = np.asarray(terms[side], dtype=np.float64)
        if term.shape != member.shape:
            raise ValueError(f"{name} has {term.shape} terms for {len(member)} images")
        columns.append(np.bincount(member, weights=term, minlength=groups))
    return np.stack(columns, axis=1) if columns else np.zeros((groups, 0))


def _draw(upper: Floats, lower: Floats, draws: int, seed: int) -> Floats:
    """Resample the groups: ``[draws, statistics]``."""
    groups, count = upper.shape
    generator = np.random.default_rng(seed)
    drawn = np.full((draws, count), np.nan)
    if not groups:
        return drawn
    step = max(1, _HELD // groups)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        chosen = generator.integers(groups, size=(size, groups))
        # How often each group was drawn: a multinomial, counted instead of sampled.
        shifted = (chosen + groups * np.arange(size)[:, None]).ravel()
        weights = np.bincount(shifted, minlength=size * groups).reshape(size, groups)
        drawn[start : start + size] = _ratio(weights @ upper, weights @ lower)
    return drawn


def _bca(value: float, drawn: Floats, left_out: Floats, confidence: float) -> tuple[float, float]:
    """The interval of one statistic (Efron & Tibshirani 1993, section 14.3)."""
    drawn = drawn[np.isfinite(drawn)]
    left_out = left_out[np.isfinite(left_out)]
    if not drawn.size or np.ptp(drawn) == 0:
        return value, value
    normal = NormalDist()
    # Ties count half, as for a value between its neighbours.
    below = float(((drawn < value).sum() + (drawn == value).sum() / 2) / drawn.size)
    if not 0 < below < 1:  # the value is outside of all that was drawn: nothing to correct by
        below = 0.5
    bias = normal.inv_cdf(below)
    gaps = left_out.mean() - left_out if left_out.size else np.zeros(1)
    spread = float((gaps**2).sum()) ** 1.5
    pull = float((gaps**3).sum()) / (6 * spread) if spread > 0 else 0.0

    def end(share: float) -> float:
        shifted = bias + normal.inv_cdf(share)
        room = 1 - pull * shifted
        # Beyond its pole the correction would turn the interval around; few groups can get there.
        place = normal.cdf(bias + shifted / room) if room > 0 else float(shifted > 0)
        return float(np.quantile(drawn, place))

    rest = (1 - confidence) / 2
    return end(rest), end(1 - rest)


def _ratio(upper: Floats, lower: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lower != 0, upper / lower, np.nan)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

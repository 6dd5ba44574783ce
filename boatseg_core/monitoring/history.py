"""Is a batch like the batches before it? What files it holds, and how bright they are.

A warning needs three things, each against another way of crying wolf:

- **significance**: the distance is not one that chance gives to this many images. The four
  comparisons of a batch share the bound on false alarms among them (Bonferroni);
- **effect**: the distance is large enough to matter. Of two samples of thousands, any difference
  is significant;
- **unusualness**: the distance lies above the upper fence (third quartile and 1.5 interquartile
  ranges; Tukey, "Exploratory Data Analysis", 1977) of the distances that the earlier batches have
  from one another. Batches are flights and days, not random draws: where they always differ, one
  more that does is no news. An odd batch among the earlier ones hardly moves that fence.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from boatseg_core.config.sections import History
from boatseg_core.lake import Lake
from boatseg_core.lake.snapshot import Snapshot
from boatseg_core.monitoring.drift import ks_distance

MIXES = ("format", "size")
"""What is compared as a mix of kinds: file format with pixel mode, and width with height."""
VALUES = ("brightness", "contrast")
"""Measurements that are compared as distributions."""

_COMPARISONS = len(MIXES) + len(VALUES)
_COLUMNS = ("batch_id", "width", "height", "format", "mode", *VALUES, "measured")
_FENCE_BATCHES = 4  # fewer have no quartiles worth the name
_FREQUENT = 0.01  # share from which a picture size is a kind of its own
_MOST_DRAWS = 200_000

_Distance = Callable[[pl.Series, pl.Series], float]


@dataclass(frozen=True)
class Arrivals:
    """A batch and what came before it.

    Attributes:
        batch_id: The batch.
        batch: ``kind/format``, ``kind/size`` and the columns of :data:`VALUES`, one row an image.
        earlier: The same of the earlier batches, with ``batch_id``.
    """

    batch_id: str
    batch: pl.DataFrame
    earlier: pl.DataFrame

    @property
    def batches(self) -> int:
        """Number of earlier batches."""
        return self.earlier["batch_id"].n_unique()


@dataclass(frozen=True)
class Shift:
    """One comparison of a batch with the batches before it.

    Attributes:
        what: One of :data:`MIXES` or :data:`VALUES`.
        distance: 0 (alike) to 1: total variation of a mix, Kolmogorov-Smirnov of values.
        threshold: Distance that a warning needs: the setting, or what is usual between batches.
        p_value: Chance of at least this distance between samples of one distribution.
        alpha: A warning needs a smaller ``p_value``.
        judged: Whether batch and history are large enough to say anything.
        shifted: Whether all of it amounts to a warning.
        images: Images of the batch.
        history_images: Images it was compared with.
        shares: Of a mix: share by kind in the batch and before, largest difference first.
        means: Of values: mean of the batch and before.
    """

    what: str
    distance: float
    threshold: float
    p_value: float
    alpha: float
    judged: bool
    shifted: bool
    images: int
    history_images: int
    shares: dict[str, tuple[float, float]] = field(default_factory=dict)
    means: tuple[float, float] = (math.nan, math.nan)


def arrivals(lake: Lake, batch_id: str, history: History) -> Arrivals:
    """Read the narrow columns of a batch and of the batches sealed before it.

    Only images measured the same way are compared: a contrast taken from the picture shrunk to an
    eighth is lower than that of the whole.

    Args:
        lake: The lake.
        batch_id: The batch.
        history: How far to look back.
    """
    snapshot = Snapshot(lake)
    counts = snapshot.counts("raw_images")
    before = sorted(b for b, rows in counts.items() if b < batch_id and rows)[-history.batches :]
    found = snapshot.scan("raw_images", [*before, batch_id]).select(_COLUMNS).collect()
    rows = _kinds(found.with_columns(pl.col("measured").fill_null("full")))  # null: older rows
    batch = rows.filter(pl.col("batch_id") == batch_id)
    if batch.height:
        way = batch["measured"].mode().sort()[0]
        rows = rows.filter(pl.col("measured") == way)
        batch = rows.filter(pl.col("batch_id") == batch_id)
    return Arrivals(batch_id, batch, rows.filter(pl.col("batch_id") != batch_id))


def mix_shifts(found: Arrivals, history: History) -> list[Shift]:
    """Compare the mixes of :data:`MIXES`."""
    return [_mix_shift(found, what, history) for what in MIXES]


def value_shifts(found: Arrivals, history: History) -> list[Shift]:
    """Compare the distributions of :data:`VALUES`."""
    return [value_shift(found, what, history) for what in VALUES]


def ks_p_value(distance: float, first: int, second: int) -> float:
    """Chance that two samples of one continuous distribution lie at least this far apart.

    Source: Kolmogorov's limit distribution with the correction for finite samples of M. Stephens,
    "Use of the Kolmogorov-Smirnov, Cramer-Von Mises and Related Statistics Without Extensive
    Tables", Journal of the Royal Statistical Society B 32 (1970), p. 115. Ties make it too large,
    never too small.

    Args:
        distance: Kolmogorov-Smirnov distance, 0 to 1.
        first: Size of one sample, at least 1.
        second: Size of the other.
    """
    root = math.sqrt(first * second / (first + second))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:  # the series converges too slowly where the answer is 1 to twelve digits
        return 1.0
    terms = ((1 if j % 2 else -1) * math.exp(-2 * (j * scaled) ** 2) for j in range(1, 101))
    return min(1.0, max(0.0, 2 * sum(terms)))


def mix_p_value(
    batch: npt.NDArray[np.int64], earlier: npt.NDArray[np.int64], *, draws: int, seed: str
) -> float:
    """Chance that a random part of all images has at least this distance from the rest.

    A permutation test, exact for rare kinds too. Dealing images into two hands is a draw from the
    multivariate hypergeometric distribution. The p-value of a finite number of draws counts the
    observation as one of them (Phipson and Smyth, "Permutation P-values Should Never Be Zero",
    2010).

    Args:
        batch: Images of the batch by kind.
        earlier: Images before it by kind, in the same order.
        draws: Number of random parts.
        seed: Any text; the same text gives the same answer.
    """
    observed = _variation(batch, earlier)
    pool = batch + earlier
    rng = np.random.default_rng(
        int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little")
    )
    reached, left = 0, draws
    while left:
        size = min(left, max(1, 2_000_000 // pool.size))  # 16 MB of counts at a time
        dealt = rng.multivariate_hypergeometric(pool, int(batch.sum()), size, method="marginals")
        far = np.abs(dealt / batch.sum() - (pool - dealt) / earlier.sum()).sum(axis=1) / 2
        reached += int((far >= observed - 1e-12).sum())
        left -= size
    return float((reached + 1) / (draws + 1))


def _kinds(rows: pl.DataFrame) -> pl.DataFrame:
    """Name each image's format and size; sizes that hardly occur are put into half octaves."""
    exact = pl.format("{}x{}", "width", "height")
    frequent = pl.len().over("width", "height") >= max(2.0, _FREQUENT * rows.height)
    coarse = [
        pl.lit(2.0).pow((pl.col(side).cast(pl.Float64).log(2) * 2).round() / 2).round().cast(int)
        for side in ("width", "height")
    ]
    return rows.with_columns(
        pl.format("{} {}", "format", "mode").alias("kind/format"),
        pl.when(frequent)
        .then(exact)
        .otherwise(pl.format("about {}x{}", *coarse))
        .alias("kind/size"),
    )


def _mix_shift(found: Arrivals, what: str, history: History) -> Shift:
    name = f"kind/{what}"
    table = _counts(found.batch[name], found.earlier[name])
    batch = table["batch"].to_numpy().astype(np.int64)
    earlier = table["earlier"].to_numpy().astype(np.int64)
    alpha = history.false_alarms / _COMPARISONS
    judged = min(batch.sum(), earlier.sum()) >= history.min_images
    distance = _variation(batch, earlier) if batch.sum() and earlier.sum() else 0.0
    threshold = max(history.max_mix_shift, _fence(found, name, _mix_distance, history))
    draws = min(_MOST_DRAWS, max(2_000, math.ceil(5 / alpha)))
    p_value = 1.0
    if judged and distance > 0:
        p_value = mix_p_value(batch, earlier, draws=draws, seed=f"{found.batch_id}/{what}")
    shares = table.select(
        "kind",
        pl.col("batch") / max(1, batch.sum()),
        pl.col("earlier") / max(1, earlier.sum()),
    ).sort((pl.col("batch") - pl.col("earlier")).abs(), "kind", descending=[True, False])
    return Shift(
        what=what,
        distance=distance,
        threshold=threshold,
        p_value=p_value,
        alpha=alpha,
        judged=bool(judged),
        shifted=bool(judged and distance > threshold and p_value < alpha),
        images=int(batch.sum()),
        history_images=int(earlier.sum()),
        shares={kind: (now, then) for kind, now, then in shares.iter_rows()},
    )


def value_shift(found: Arrivals, what: str, history: History) -> Shift:
    """Compare the distribution of one column of numbers."""
    batch, earlier = _numbers(found.batch[what]), _numbers(found.earlier[what])
    alpha = history.false_alarms / _COMPARISONS
    judged = min(batch.size, earlier.size) >= history.min_images
    known = bool(batch.size and earlier.size)
    distance = ks_distance(batch, earlier) if known else 0.0
    p_value = ks_p_value(distance, batch.size, earlier.size) if known else 1.0
    threshold = max(history.max_shift, _fence(found, what, _value_distance, history))
    return Shift(
        what=what,
        distance=distance,
        threshold=threshold,
        p_value=p_value,
        alpha=alpha,
        judged=judged,
        shifted=judged and distance > threshold and p_value < alpha,
        images=batch.size,
        history_images=earlier.size,
        means=(
            float(batch.mean()) if batch.size else math.nan,
            float(earlier.mean()) if earlier.size else math.nan,
        ),
    )


def _fence(found: Arrivals, column: str, distance: _Distance, history: History) -> float:
    """Distance up to which batches usually lie from the others; 0 where too few are known."""
    rows = found.earlier.select("batch_id", column).drop_nulls()
    sizes = rows.group_by("batch_id").len().filter(pl.col("len") >= history.min_images)
    names: Sequence[str] = sizes["batch_id"].sort().to_list()
    if len(names) < _FENCE_BATCHES:
        return 0.0
    mine = {name: rows["batch_id"] == name for name in names}
    apart = [
        distance(rows.filter(mine[name])[column], rows.filter(~mine[name])[column])
        for name in names
    ]
    low, high = np.quantile(apart, [0.25, 0.75])
    return float(high + 1.5 * (high - low))


def _mix_distance(first: pl.Series, second: pl.Series) -> float:
    table = _counts(first, second)
    return _variation(table["batch"].to_numpy(), table["earlier"].to_numpy())


def _value_distance(first: pl.Series, second: pl.Series) -> float:
    return ks_distance(_numbers(first), _numbers(second))


def _counts(batch: pl.Series, earlier: pl.Series) -> pl.DataFrame:
    """Images by ``kind`` in the ``batch`` and ``earlier``."""
    sides = {"batch": batch, "earlier": earlier}
    counted = [
        pl.DataFrame({"kind": s}).group_by("kind").agg(pl.len().cast(pl.Int64).alias(name))
        for name, s in sides.items()
    ]
    joined = counted[0].join(counted[1], on="kind", how="full", coalesce=True)
    return joined.with_columns(pl.col("batch", "earlier").fill_null(0)).sort("kind")


def _variation(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
    """Total variation: the share of images that would have to be of another kind."""
    return float(np.abs(first / first.sum() - second / second.sum()).sum() / 2)


def _numbers(values: pl.Series) -> npt.NDArray[np.float64]:
    return values.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()

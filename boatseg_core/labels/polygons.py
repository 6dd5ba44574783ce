"""From outlines to runs. Pure: no table, no file.

Two rules, each the one of its format's world:

* GeoJSON: a pixel belongs to a polygon when its centre is inside by the even-odd rule over all
  rings (RFC 7946 section 3.1.6: the first ring bounds, the others are holes). A centre on an edge
  belongs to the side to its right or below, so polygons that share an edge share no pixel.
* COCO: the reference implementation, ``rleFrPoly`` of the COCO API (cocodataset/cocoapi,
  common/maskApi.c, BSD): the outline is walked on a five times finer grid. Its masks are equal to
  those of pycocotools bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from boatseg_core.errors import RleError
from boatseg_core.imaging import rle

Points = npt.NDArray[np.float64]
_Array = npt.NDArray[np.int64]

# Crossings of an outline with pixel columns, or points walked along it: some 100 bytes each.
_MAX_STEPS = 10_000_000
_MAX_PAIRS = 4_000_000
_FINER = 5.0


def fill_even_odd(rings: list[Points], height: int, width: int) -> rle.Runs:
    """Rasterize one polygon with its holes by pixel centres.

    Args:
        rings: float64 ``[N, 2]`` each: x, y in pixels from the top left corner; closed by itself.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        int64 ``[N, 2]``: zero-based start and length of column-major runs; what lies outside of
        the image is cut off.

    Raises:
        RleError: ``too_complex``: the outline crosses more than ten million pixel columns.
    """
    begins = np.concatenate(rings)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    flip = begins[:, 0] > ends[:, 0]
    left = np.where(flip[:, None], ends, begins)
    right = np.where(flip[:, None], begins, ends)
    # Columns whose centre c + 0.5 lies in [left, right).
    first = np.ceil(np.clip(left[:, 0], -1.0, width + 1.0) - 0.5).astype(np.int64).clip(0, width)
    last = np.ceil(np.clip(right[:, 0], -1.0, width + 1.0) - 0.5).astype(np.int64).clip(0, width)
    counts = last - first
    owner, nth = _spread(counts)
    column = first[owner] + nth
    x0, y0 = left[owner].T
    x1, y1 = right[owner].T
    y = y0 + (column + 0.5 - x0) / (x1 - x0) * (y1 - y0)
    row = np.ceil(np.clip(y, -1.0, height + 1.0) - 0.5).astype(np.int64).clip(0, height)
    keys = np.sort(column * (height + 1) + row)
    tops, bottoms = keys[0::2], keys[1::2]  # every column is crossed an even number of times
    columns, rows = np.divmod(tops, height + 1)
    lengths = bottoms - tops
    runs: rle.Runs = np.stack((columns * height + rows, lengths), axis=1)[lengths > 0]
    return runs


def fill_coco(polygon: Points, height: int, width: int) -> rle.Runs:
    """Rasterize one part of a COCO polygon as pycocotools does.

    Args:
        polygon: float64 ``[N, 2]``: x, y in pixels.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        int64 ``[N, 2]``: zero-based start and length of column-major runs.

    Raises:
        RleError: ``too_complex``: the outline is longer than two million pixels.
    """
    if np.abs(polygon).max() > _MAX_STEPS:
        raise RleError("too_complex", "the outline goes millions of pixels beyond the image")
    fine = np.trunc(_FINER * polygon + 0.5).astype(np.int64)
    begin, end = fine, np.roll(fine, -1, axis=0)
    reach = np.abs(end - begin)
    wide = reach[:, 0] >= reach[:, 1]
    axis = np.where(wide, 0, 1)
    edges = np.arange(len(fine))
    flip = begin[edges, axis] > end[edges, axis]
    low = np.where(flip[:, None], end, begin)
    high = np.where(flip[:, None], begin, end)
    longer = np.max(reach, axis=1)
    across = high[edges, 1 - axis] - low[edges, 1 - axis]
    slope = across / np.maximum(longer, 1)
    owner, nth = _spread(longer + 1)
    t = np.where(flip[owner], longer[owner] - nth, nth)
    along = low[edges, axis][owner] + t
    aside = np.trunc(low[edges, 1 - axis][owner] + slope[owner] * t + 0.5).astype(np.int64)
    u = np.where(wide[owner], along, aside)
    v = np.where(wide[owner], aside, along)
    moved = u[1:] != u[:-1]
    x = (np.where(u[1:] < u[:-1], u[1:], u[1:] - 1)[moved] + 0.5) / _FINER - 0.5
    y = (np.minimum(v[1:], v[:-1])[moved] + 0.5) / _FINER - 0.5
    kept = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    rows = np.ceil(np.clip(y[kept], 0.0, height)).astype(np.int64)
    toggles = np.sort(x[kept].astype(np.int64) * height + rows)
    if len(toggles) % 2:
        toggles = np.append(toggles, height * width)
    runs = np.stack((toggles[0::2], toggles[1::2] - toggles[0::2]), axis=1)
    return runs[runs[:, 1] > 0]


def crosses_itself(polygon: Points) -> bool:
    """Whether two edges of a ring cross in their inside; touching is not crossing.

    Pairs of edges whose boxes overlap are compared; a ring with more than four million such pairs
    is taken for simple.

    Args:
        polygon: float64 ``[N, 2]``; closed by itself.
    """
    begin, end = polygon, np.roll(polygon, -1, axis=0)
    order = np.argsort(np.minimum(begin[:, 0], end[:, 0]), kind="stable")
    begin, end = begin[order], end[order]
    lows, highs = np.minimum(begin, end), np.maximum(begin, end)
    counts = np.searchsorted(lows[:, 0], highs[:, 0], side="right") - np.arange(len(order)) - 1
    counts = counts.clip(0)
    if int(counts.sum()) > _MAX_PAIRS:
        return False
    one, nth = _spread(counts)
    other = one + 1 + nth
    near = (lows[one, 1] <= highs[other, 1]) & (lows[other, 1] <= highs[one, 1])
    one, other = one[near], other[near]
    a, b, c, d = begin[one], end[one], begin[other], end[other]
    return bool(
        np.any((_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0))
    )


def union(parts: list[rle.Runs]) -> rle.Runs:
    """Join runs of several parts into those of one object.

    Returns:
        int64 ``[N, 2]``, sorted, disjoint, not touching.
    """
    runs = np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)
    return rle.merge(runs)


def _side(a: Points, b: Points, p: Points) -> Points:
    ab, ap = b - a, p - a
    return np.sign(ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0])


def _spread(counts: _Array) -> tuple[_Array, _Array]:
    """Repeat every index as often as it counts, with its number among the repetitions."""
    total = int(counts.sum())
    if total > _MAX_STEPS:
        raise RleError("too_complex", f"the outline takes {total:,} steps from pixel to pixel")
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)

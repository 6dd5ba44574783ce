"""Centroid and orientation of objects, from their runs: no pixel is looked at.

Moments of a vertical run are sums of consecutive integers and of their squares, so an object's
moments are sums over its runs (Hu, Visual pattern recognition by moment invariants, 1962).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
# Higher objects' sums of squares could leave int64.
_EXACT = 1_000_000


def split_columns(runs: _Array, height: int) -> tuple[_Array, _Array, _Array, _Array]:
    """Cut column-major runs where they pass from one column into the next.

    Args:
        runs: int64 ``[N, 2]``: zero-based start and length of each run.
        height: Rows of the image, in pixels.

    Returns:
        ``column``, ``row`` and ``length`` of the pieces, int64 ``[M]`` each, and ``pieces``, int64
        ``[N]``: how many pieces each run was cut into. The pieces of a run stay together.
    """
    starts, ends = runs[:, 0], runs[:, 0] + runs[:, 1]
    first, last = starts // height, (ends - 1) // height
    pieces = last - first + 1
    if len(pieces) and pieces.max() == 1:
        return first, starts - first * height, runs[:, 1], pieces
    owner = np.repeat(np.arange(len(runs)), pieces)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    column = first[owner] + nth
    top = np.maximum(starts[owner], column * height)
    bottom = np.minimum(ends[owner], (column + 1) * height)
    return column, top - column * height, bottom - top, pieces


def centroids_and_orientations(
    column: _Array, row: _Array, length: _Array, firsts: _Array, corners: _Array
) -> tuple[_Floats, _Floats]:
    """Measure where objects lie and which way they point.

    The centroid is the mean of the pixels' column and row numbers, so that (0, 0) is the centre
    of the top left pixel. The orientation is that of the principal axis, along which the second
    central moment is largest: ``atan2(2 mu11, mu20 - mu02) / 2``, measured from the x axis towards
    the y axis, which is clockwise as people see it, since rows are counted downwards. An object
    without a principal axis (a square, a disc, one pixel) has 0.

    Args:
        column: int64 ``[M]``, column of each vertical run.
        row: int64 ``[M]``, its first row.
        length: int64 ``[M]``, its pixels.
        firsts: int64 ``[K]``, where each object's runs begin.
        corners: int64 ``[K, 2]``, x and y of each object's upper left corner; seen from there the
            numbers stay small and their sums exact.

    Returns:
        float64 ``[K, 2]``, x and y of the centroid in pixels; float64 ``[K]``, degrees above -90
        and up to 90.
    """
    counts = np.diff(firsts, append=len(column))
    x, y = np.stack((column, row)) - np.repeat(corners.T, counts, axis=1)
    if int(y.max()) + int(length.max()) > _EXACT:
        wide = (x.astype(np.float64), y.astype(np.float64), length.astype(np.float64))
        return _moments(*wide, firsts, corners)
    return _moments(x, y, length, firsts, corners)


def _moments(
    x: _Array | _Floats,
    y: _Array | _Floats,
    length: _Array | _Floats,
    firsts: _Array,
    corners: _Array,
) -> tuple[_Floats, _Floats]:
    """Sum up moments of runs; see :func:`centroids_and_orientations`."""
    end = y + length - 1
    sum_y = (y + end) * length / 2
    # 0² + 1² + ... + n² = n (n + 1) (2n + 1) / 6
    before = y - 1
    sum_yy = (end * (end + 1) * (2 * end + 1) - before * (before + 1) * (2 * before + 1)) / 6
    x_length = x * length
    sums = np.stack((length, x_length, sum_y, x * x_length, sum_yy, x * sum_y))
    n, sx, sy, sxx, syy, sxy = np.add.reduceat(sums, firsts, axis=1).astype(np.float64)
    mean_x, mean_y = sx / n, sy / n
    across = sxx - syy - (sx * mean_x - sy * mean_y)
    both = 2.0 * (sxy - sx * mean_y)
    # Both are whole multiples of 1/n where exact: what is smaller is rounding, not direction.
    scale = sxx + syy + 1.0
    across[np.abs(across) < 1e-12 * scale] = 0.0
    both[np.abs(both) < 1e-12 * scale] = 0.0
    degrees = np.degrees(np.arctan2(both, across)) / 2.0
    degrees[degrees <= -90.0] = 90.0
    degrees[(both == 0.0) & (across == 0.0)] = 0.0
    return np.stack((mean_x, mean_y), axis=1) + corners, degrees

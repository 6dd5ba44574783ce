"""Cut objects that touch at their narrowest place: a watershed on the distance transform.

Boats moored side by side come out of a mask as one region. Inside it, the distance to the nearest
background pixel rises towards the middle of each hull and dips at the neck between two. Every pixel
follows the steepest way up to a summit (the drop-of-water watershed: Beucher & Lantuéjoul 1979;
Cousty et al. 2009), which gives a basin a summit, far too many of them. Basins are then joined
again over the highest passes between them, unless the pass is a true neck (merging by persistence:
Chazal et al. 2013, ToMATo), here measured as a share: a pass stays a cut where it is lower than
``neck`` times the lower of the two summits, so that the rule means the same for a dinghy and a
tanker.

Hulls that lie side by side along their whole length share no neck, and stay one region: only the
network can tell them apart.

Everything but the joining of basins is array operations, and the whole costs one distance transform
over at most the picture's own size. The transform is our own and capped, since the service loads no
scipy and no hull is wider than the cap.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Labels: TypeAlias = npt.NDArray[np.int32]


REACH = 64
"""Distances are cut off here, in pixels: a neck wider than twice this is no neck of a boat."""


def split(mask: npt.NDArray[np.bool_], *, neck: float, min_area: int) -> Labels:
    """Number the parts of a mask.

    Args:
        mask: bool ``[H, W]``, one region or several; what lies outside counts as background.
        neck: A pass lower than this share of the lower summit is cut, 0 to 1.
        min_area: A part with fewer pixels goes to the neighbour it shares the highest pass with,
            rather than to be lost to the sieve.

    Returns:
        int32 ``[H, W]``: 0 on the background, parts 1..K in no promised order.
    """
    padded = np.pad(mask, 1)
    inside = np.flatnonzero(padded)
    out = np.zeros(mask.shape, np.int32)
    if not inside.size:
        return out
    height = distance(padded).ravel()[inside]
    place = np.full(padded.size, -1, np.int64)
    place[inside] = np.arange(inside.size)
    stride = padded.shape[1]
    half = [place[inside + step] for step in (1, stride - 1, stride, stride + 1)]
    other = [place[inside - step] for step in (1, stride - 1, stride, stride + 1)]
    summit = _climb(height, half + other)
    peaks, basin = np.unique(summit, return_inverse=True)
    joined = _join(height[peaks], np.bincount(basin), *_passes(height, basin, half), neck, min_area)
    out[mask] = joined[basin] + 1
    return out


def distance(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Euclidean distance to the nearest background pixel, at most :data:`REACH`.

    By columns first, then the lowest parabola over each row (Felzenszwalb & Huttenlocher 2012),
    which is found by trying all that can still be lower: no more than the widest hull has pixels.

    Args:
        mask: bool ``[H, W]`` with background all around its edge.

    Returns:
        float64 ``[H, W]``, 0 on the background.
    """
    rows = np.arange(mask.shape[0], dtype=np.int32)[:, None]
    last = np.maximum.accumulate(np.where(mask, np.int32(-REACH), rows), axis=0)
    following = np.where(mask, np.int32(mask.shape[0] + REACH), rows)[::-1]
    following = np.minimum.accumulate(following, axis=0)[::-1]
    column = np.minimum(np.minimum(rows - last, following - rows), REACH) ** 2
    best = column.copy()
    for step in range(1, REACH):
        if step**2 >= best.max(initial=0):
            break
        np.minimum(best[:, step:], column[:, :-step] + step**2, out=best[:, step:])
        np.minimum(best[:, :-step], column[:, step:] + step**2, out=best[:, :-step])
    return np.asarray(np.sqrt(best), dtype=np.float64)


def _climb(height: npt.NDArray[np.float64], neighbours: list[Ints]) -> Ints:
    """Follow the steepest way up from every pixel; of equals the first pixel is the higher."""
    best = np.arange(height.size)
    top = height.copy()
    for neighbour in neighbours:
        there = neighbour >= 0
        level = np.where(there, height[neighbour], -1.0)
        better = (level > top) | ((level == top) & (neighbour < best) & there)
        best[better], top[better] = neighbour[better], level[better]
    while True:  # pointers double their reach each time
        further = best[best]
        if np.array_equal(further, best):
            return best
        best = further


def _passes(
    height: npt.NDArray[np.float64], basin: Ints, half: list[Ints]
) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """List the highest pass between every two basins that touch, the highest first."""
    left, right, level = [], [], []
    here = np.arange(height.size)
    for neighbour in half:
        there = neighbour >= 0
        a, b = here[there], neighbour[there]
        apart = basin[a] != basin[b]
        a, b = a[apart], b[apart]
        left.append(np.minimum(basin[a], basin[b]))
        right.append(np.maximum(basin[a], basin[b]))
        level.append(np.minimum(height[a], height[b]))
    lefts, rights, levels = np.concatenate(left), np.concatenate(right), np.concatenate(level)
    order = np.lexsort((rights, lefts, -levels))
    lefts, rights, levels = lefts[order], rights[order], levels[order]
    pairs = lefts * (basin.max(initial=0) + 1) + rights
    first = np.sort(np.unique(pairs, return_index=True)[1])
    return lefts[first], rights[first], levels[first]


def _join(
    peak: npt.NDArray[np.float64],
    area: Ints,
    lefts: Ints,
    rights: Ints,
    levels: npt.NDArray[np.float64],
    neck: float,
    min_area: int,
) -> Ints:
    """Join basins over passes, the highest first; give each its part, 0..K-1."""
    parent = list(range(len(peak)))
    tops, sizes = peak.tolist(), area.tolist()

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    edges = list(zip(lefts.tolist(), rights.tolist(), levels.tolist(), strict=True))
    for crumbs in (False, True):
        for left, right, level in edges:
            a, b = root(left), root(right)
            if a == b:
                continue
            if crumbs:
                joins = min(sizes[a], sizes[b]) < min_area
            else:
                joins = level >= neck * min(tops[a], tops[b])
            if joins:
                parent[b] = a
                tops[a] = max(tops[a], tops[b])
                sizes[a] += sizes[b]
    return np.unique([root(one) for one in range(len(peak))], return_inverse=True)[1]

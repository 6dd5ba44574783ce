"""Connected regions of a mask, found on its runs instead of its pixels.

The mask is cut into vertical runs first, because masks are stored column-major: a region's runs
then *are* its run-length encoding. Runs of neighbouring columns that touch (8-connectivity) become
edges of a graph, whose components are found by hooking every root onto its smallest neighbour and
halving the paths in between (Shiloach & Vishkin 1982), all in array operations: a mask of noise
costs no more Python steps than an empty one.

Where asked for, regions are then cut at their necks (:mod:`boatseg_core.imaging.neck`), so that
two boats that touch count as two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Vertical runs of a mask, in column-major order.

    Attributes:
        column: int64 ``[R]``, column of each run.
        row: int64 ``[R]``, first row of each run.
        length: int64 ``[R]``, pixels of each run.
        region: int64 ``[R]``, region each run belongs to: 0..K-1, numbered by the first pixel of
            the region in column-major order.
        regions: K.
    """

    column: Ints
    row: Ints
    length: Ints
    region: Ints
    regions: int


def find(mask: npt.NDArray[np.bool_], *, neck: float = 0.0, min_area: int = 0) -> Runs:
    """Find the 8-connected regions of a mask.

    Args:
        mask: bool ``[H, W]``.
        neck: Regions are cut at necks narrower than this share of the narrower part; 0 leaves
            them whole.
        min_area: No part cut off is smaller, in pixels.
    """
    runs = _regions(mask)
    return _cut(mask.shape, runs, neck, min_area) if neck > 0 and runs.regions else runs


def paint(runs: Runs, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Number the pixels: int32 ``[H, W]``, 0 on the background, region + 1 on each region."""
    height, width = shape
    columns = np.zeros(width * height, np.int32)
    first = runs.column * height + runs.row
    offsets = np.arange(int(runs.length.sum())) - np.repeat(
        np.cumsum(runs.length) - runs.length, runs.length
    )
    columns[np.repeat(first, runs.length) + offsets] = np.repeat(runs.region + 1, runs.length)
    return columns.reshape(width, height).T


def _cut(shape: tuple[int, ...], runs: Runs, neck: float, min_area: int) -> Runs:
    """Cut regions large enough to hold two parts."""
    from boatseg_core.imaging.neck import split

    order = np.argsort(runs.region, kind="stable")
    column, row, length = runs.column[order], runs.row[order], runs.length[order]
    first = np.searchsorted(runs.region[order], np.arange(runs.regions, dtype=np.int64))
    large = np.add.reduceat(length, first) >= 2 * max(min_area, 1)
    boxes = np.stack(
        [
            np.minimum.reduceat(row, first),
            np.maximum.reduceat(row + length, first),
            np.minimum.reduceat(column, first),
            np.maximum.reduceat(column, first) + 1,
        ],
        axis=1,
    )
    numbers = paint(runs, shape)
    areas = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    if int(areas[large].sum()) > numbers.size:
        # Boxes inside boxes, as of rings: all at once costs one picture, whatever it shows.
        work = [((slice(None), slice(None)), np.isin(numbers, np.flatnonzero(large) + 1))]
    else:
        work = []
        for region in np.flatnonzero(large):
            top, bottom, left, right = boxes[region].tolist()
            look = slice(top, bottom), slice(left, right)
            work.append((look, numbers[look] == region + 1))
    used = runs.regions
    for look, inside in work:
        parts = split(inside, neck=neck, min_area=min_area)[inside]
        numbers[look][inside] = parts + used
        used += int(parts.max(initial=0))
    return _from_numbers(numbers)


def _from_numbers(numbers: npt.NDArray[np.int32]) -> Runs:
    """Turn numbered pixels into runs, renumbering by first pixel in column-major order."""
    height, width = numbers.shape
    columns = np.zeros((width, height + 1), numbers.dtype)  # a gap below each column
    columns[:, :-1] = numbers.T
    flat = np.concatenate([[0], columns.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    number = flat[edges + 1]
    starts, ends = edges[number > 0], np.append(edges[1:], flat.size)[number > 0]
    _, first, which = np.unique(number[number > 0], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return Runs(
        column=starts // (height + 1),
        row=starts % (height + 1),
        length=ends - starts,
        region=rank[which],
        regions=len(first),
    )


def _regions(mask: npt.NDArray[np.bool_]) -> Runs:
    height, width = mask.shape
    # One column takes H + 2 places, so that neither a run nor its neighbourhood of one pixel
    # above and below ever reaches into the next column's places.
    stride = height + 2
    columns = np.zeros((width, stride), dtype=np.bool_)
    columns[:, 1:-1] = mask.T
    flat = columns.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    left, right = _touching(starts, ends, stride)
    region, regions = _number(_roots(len(starts), left, right))
    return Runs(
        column=starts // stride,
        row=starts % stride - 1,
        length=ends - starts,
        region=region,
        regions=regions,
    )


def _touching(starts: Ints, ends: Ints, stride: int) -> tuple[Ints, Ints]:
    """Pair each run with the runs of the next column that it touches, corners included."""
    # A run [s, e) touches [s', e') of the next column where s' <= e and s <= e'.
    first = np.searchsorted(ends, starts + stride, side="left")
    last = np.searchsorted(starts, ends + stride, side="right")
    counts = np.maximum(last - first, 0)
    left = np.repeat(np.arange(len(starts), dtype=np.int64), counts)
    offsets = np.arange(len(left), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    return left, np.repeat(first, counts).astype(np.int64) + offsets


def _roots(nodes: int, left: Ints, right: Ints) -> Ints:
    """Give every node the smallest node of its component."""
    root = np.arange(nodes, dtype=np.int64)
    while True:
        a, b = root[left], root[right]
        apart = a != b
        if not apart.any():
            return root
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while True:
            shorter = root[root]
            if np.array_equal(shorter, root):
                break
            root = shorter


def _number(root: Ints) -> tuple[Ints, int]:
    """Number components 0..K-1 by their smallest node."""
    is_root = root == np.arange(len(root), dtype=np.int64)
    return (np.cumsum(is_root) - 1)[root].astype(np.int64), int(is_root.sum())

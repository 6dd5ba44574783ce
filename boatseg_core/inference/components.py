"""Connected regions of a mask, found on its runs instead of its pixels.

The mask is cut into vertical runs first, because masks are stored column-major: a region's runs
then *are* its run-length encoding. Runs of neighbouring columns that touch (8-connectivity) become
edges of a graph, whose components are found by hooking every root onto its smallest neighbour and
halving the paths in between (Shiloach & Vishkin 1982), all in array operations: a mask of noise
costs no more Python steps than an empty one.
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


def find(mask: npt.NDArray[np.bool_]) -> Runs:
    """Find the 8-connected regions of a mask.

    Args:
        mask: bool ``[H, W]``.
    """
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

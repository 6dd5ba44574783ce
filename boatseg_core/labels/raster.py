"""From run lengths to one mask: packed bits, areas, boxes. Pure: no table, no file.

No pixel is painted. The runs of all rows are merged, each becomes a pair of toggles in a canvas
of one bit a pixel, and one exclusive-or down the rows turns toggles into spans: the even-odd rule
of scan conversion (Foley et al., Computer Graphics, 2nd ed., section 3.5), 64 columns at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from boatseg_core.errors import RleError
from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import MaskFormat, encode_mask, encode_packed
from boatseg_core.labels.shapes import centroids_and_orientations, split_columns


@dataclass(frozen=True)
class Rejected:
    """A row that is not part of the mask.

    Attributes:
        index: Position in the rows given.
        reason: Short machine-readable reason, as :class:`boatseg_core.errors.RleError` has it.
        message: The reason in a sentence.
    """

    index: int
    reason: str
    message: str


@dataclass(frozen=True)
class Raster:
    """The mask of one image.

    What is listed per object is in the order of the rows.

    Attributes:
        width: Columns, in pixels.
        height: Rows, in pixels.
        packed: uint8 ``[H, ceil(W / 8)]``, one bit a pixel, leftmost in the highest bit.
        areas: Pixels of each object.
        boxes: Box of each object: x, y, width, height in pixels.
        centroids: Centroid of each object: x, y in pixels; see :mod:`boatseg_core.labels.shapes`.
        orientations: Direction of each object's principal axis in degrees, clockwise from the x
            axis, above -90 and up to 90.
        rles: Run lengths of each object, as :func:`boatseg_core.imaging.rle.encode` writes them:
            what keeps objects apart that touch or overlap in the mask.
        area: Pixels covered by all objects together.
        overlap_pixels: Pixels claimed by more than one object.
        rejected: Rows that could not be used.
    """

    width: int
    height: int
    packed: npt.NDArray[np.uint8]
    areas: list[int]
    boxes: list[list[int]]
    centroids: list[list[float]]
    orientations: list[float]
    rles: list[str]
    area: int
    overlap_pixels: int
    rejected: list[Rejected]

    def mask(self) -> rle.BoolMask:
        """Unpack to bool ``[H, W]``."""
        return np.unpackbits(self.packed, axis=1, count=self.width).view(np.bool_)

    def encode(self, format: MaskFormat = "png") -> bytes:
        """Encode as a picture, white objects on black."""
        if format == "png":
            return encode_packed(self.packed, self.width)
        return encode_mask(self.mask(), format=format)


def rasterize(rles: Sequence[str], height: int, width: int) -> Raster:
    """Join run-length rows, one an object, into the mask of an image.

    Args:
        rles: ``"start length ..."`` of each object; a row without a run is no object.
        height: Rows of the image, in pixels.
        width: Columns of the image, in pixels.

    Returns:
        The mask; rows that are not valid are left out and listed.
    """
    objects: list[rle.Runs] = []
    rejected: list[Rejected] = []
    for index, text in enumerate(rles):
        try:
            objects.append(rle.parse(text, height=height, width=width))
        except RleError as error:
            rejected.append(Rejected(index, error.reason, str(error)))
    return draw(objects, height, width, rejected=rejected)


def draw(
    objects: Sequence[rle.Runs],
    height: int,
    width: int,
    *,
    rejected: Sequence[Rejected] = (),
) -> Raster:
    """Join objects into the mask of an image.

    Args:
        objects: Runs of each object, inside the image; one without a run is no object.
        height: Rows of the image, in pixels.
        width: Columns of the image, in pixels.
        rejected: Rows that are not among the objects, to be handed on.
    """
    objects = [runs for runs in objects if len(runs)]
    if not objects:
        packed = np.zeros((height, (width + 7) // 8), dtype=np.uint8)
        return Raster(width, height, packed, [], [], [], [], [], 0, 0, list(rejected))
    runs = np.concatenate(objects)
    counts = np.array([len(item) for item in objects])
    firsts = np.cumsum(counts) - counts
    starts, ends = runs[:, 0], runs[:, 0] + runs[:, 1]
    merged = rle.merge(runs)
    column, row, length, pieces = split_columns(runs, height)
    piece_firsts = (np.cumsum(pieces) - pieces)[firsts]
    boxes = _boxes(column, row, length, piece_firsts)
    centroids, degrees = centroids_and_orientations(column, row, length, piece_firsts, boxes[:, :2])
    return Raster(
        width,
        height,
        _paint(merged, height, width),
        np.add.reduceat(runs[:, 1], firsts).tolist(),
        boxes.tolist(),
        centroids.tolist(),
        degrees.tolist(),
        [rle.to_text(item) for item in objects],
        int(merged[:, 1].sum()),
        _overlap(starts, ends) if len(objects) > 1 else 0,
        list(rejected),
    )


_Array = npt.NDArray[np.int64]


def _overlap(starts: _Array, ends: _Array) -> int:
    """Count positions inside two or more intervals, by sweeping over their sorted ends."""
    points = np.concatenate((starts, ends))
    steps = np.repeat(np.array([1, -1], dtype=np.int64), len(starts))
    order = np.argsort(points, kind="stable")
    depth = np.cumsum(steps[order])
    return int(np.diff(points[order])[depth[:-1] > 1].sum())


def _paint(runs: rle.Runs, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Paint disjoint column-major runs into packed rows."""
    starts, ends = runs[:, 0], runs[:, 0] + runs[:, 1]
    stride = -(-width // 64) * 8  # whole 64-bit words, for the exclusive-or below
    canvas = np.zeros((height + 1, stride), dtype=np.uint8)  # toggles past the bottom end nothing
    first, top = np.divmod(starts, height)
    last, bottom = np.divmod(ends - 1, height)
    # An interval that leaves its column at the bottom enters the next one at the top.
    span = last - first
    extra = np.repeat(first, span) + _count_up(span)
    columns = np.concatenate((first, extra, last))
    rows = np.concatenate((top, np.zeros_like(extra), bottom + 1))
    bits = np.right_shift(128, columns & 7).astype(np.uint8)
    np.bitwise_xor.at(canvas.reshape(-1), rows * stride + (columns >> 3), bits)
    # Nothing is above the first toggle, nor below the last one unless a run turns the corner.
    below = height if span.any() else min(int(rows.max()) + 1, height)
    words = canvas[int(rows.min()) : below].view(np.uint64)
    np.bitwise_xor.accumulate(words, axis=0, out=words)
    return canvas[:height, : (width + 7) // 8]


def _count_up(lengths: _Array) -> _Array:
    """Concatenate ``1..n`` for every ``n``."""
    total = int(lengths.sum())
    if not total:
        return np.empty(0, dtype=np.int64)
    before = np.cumsum(lengths) - lengths
    return np.arange(1, total + 1, dtype=np.int64) - np.repeat(before, lengths)


def _boxes(column: _Array, row: _Array, length: _Array, firsts: _Array) -> _Array:
    """Box of each object, whose vertical runs begin at ``firsts``: x, y, width, height."""
    left = np.minimum.reduceat(column, firsts)
    right = np.maximum.reduceat(column, firsts)
    upper = np.minimum.reduceat(row, firsts)
    lower = np.maximum.reduceat(row + length, firsts)
    return np.stack((left, upper, right - left + 1, lower - upper), axis=1)

"""Which images show the same place: similar tiles, confirmed by where they lie in their images.

One pair of similar tiles is a hint. Two images that overlap do so everywhere the same shift brings
their tiles together, so the hint's shift is held against all tiles it puts on top of each other
(the idea of geometric verification in image retrieval: Philbin et al., CVPR 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from boatseg_core.dataset.similarity import similar_pairs
from boatseg_core.imaging.fingerprint import BYTES, TILE, Fingerprints

MAX_IMAGES: Final = 256
"""A tile that more images show is a pattern (a border, a stamp), not a place."""

# Most differing bits of 256, the mean over all tiles that a shift brings together. Of 11 million
# pairs of generated tiles of different places the closest differ in 71: gradients look alike. A
# lone tile has to be closer, since nothing else speaks for it.
_MEAN_DISTANCE: Final = 66
_LONE_DISTANCE: Final = 60

_FLAT: Final = pl.CompatLevel.oldest()  # bytes in one buffer, not as views into many

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TileGrid:
    """The tiles of many images.

    Attributes:
        prints: uint8 ``[T, 32]``, image after image, row by row; zero for a tile without texture.
        start: int64 ``[N + 1]``, first tile of each image and the end of the last.
        columns: int64 ``[N]``, tiles side by side in each image, at least 1.
    """

    prints: Fingerprints
    start: Index
    columns: Index

    @classmethod
    def of(cls, images: pl.DataFrame) -> TileGrid:
        """Take the tiles out of the columns ``tiles`` and ``width`` of ``raw_images``."""
        blobs = images["tiles"].fill_null(b"").rechunk().to_arrow(compat_level=_FLAT)
        # One buffer with all tiles in a row; of which a slice may be ours.
        _, ends, data = blobs.cast(pa.large_binary()).buffers()
        ends = np.frombuffer(ends, dtype=np.int64)[blobs.offset : blobs.offset + len(blobs) + 1]
        prints = np.frombuffer(data or b"", dtype=np.uint8)[ends[0] : ends[-1]]
        widths = images["width"].fill_null(0).to_numpy().astype(np.int64)
        return cls(
            prints=prints.reshape(-1, BYTES),
            start=(ends - ends[0]) // BYTES,
            columns=np.maximum(widths // TILE, 1),
        )

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.columns)

    def place(self, tiles: Index) -> tuple[Index, Index, Index]:
        """Image, row and column of tiles."""
        image = np.searchsorted(self.start, tiles, side="right") - 1
        row, column = np.divmod(tiles - self.start[image], self.columns[image])
        return image, row, column


def overlapping_images(grid: TileGrid, first: int = 0) -> Index:
    """List pairs of images that share a textured tile.

    Args:
        grid: The tiles of all images.
        first: Only pairs with at least one image at this index or later are wanted.

    Returns:
        int64 ``[P, 2]`` with ascending members, each pair once, sorted.
    """
    tiles = similar_pairs(grid.prints, int(grid.start[first]))
    a, row_a, column_a = grid.place(tiles[:, 0])
    b, row_b, column_b = grid.place(tiles[:, 1])
    place = _says_where(tiles, a, b, grid.images)
    shifts = np.stack([a, b, row_a - row_b, column_a - column_b], axis=1)[place]
    shifts = np.unique(shifts, axis=0)
    return np.unique(shifts[_confirmed(grid, shifts), :2], axis=0)


def _says_where(tiles: Index, a: Index, b: Index, images: int) -> npt.NDArray[np.bool_]:
    """Tell hints on a place from tiles that repeat, inside an image or over the whole lake."""
    keep: npt.NDArray[np.bool_] = a != b
    for tile, other in ((tiles[:, 0], b), (tiles[:, 1], a)):
        # A tile that is like two tiles of one other image is part of a periodic texture.
        _, inverse, count = np.unique(
            tile * images + other, return_inverse=True, return_counts=True
        )
        keep &= count[inverse.reshape(-1)] == 1
    both = np.concatenate([tiles, tiles[:, ::-1]])
    seen = np.unique(np.stack([both[:, 0], np.concatenate([b, a])], axis=1), axis=0)
    tile, shown = np.unique(seen[:, 0], return_counts=True)
    common = tile[shown > MAX_IMAGES]
    keep &= ~np.isin(tiles[:, 0], common) & ~np.isin(tiles[:, 1], common)
    return keep


def _confirmed(grid: TileGrid, shifts: Index) -> npt.NDArray[np.bool_]:
    """Hold each shift (image, image, rows, columns) against all tiles that it brings together."""
    a, b, down, right = shifts.T
    rows = np.diff(grid.start) // grid.columns
    top, left = np.maximum(down, 0), np.maximum(right, 0)
    height = np.minimum(rows[a], rows[b] + down) - top
    width = np.minimum(grid.columns[a], grid.columns[b] + right) - left
    cells = height * width
    shift = np.repeat(np.arange(len(shifts)), cells)
    within = np.arange(len(shift)) - np.repeat(np.cumsum(cells) - cells, cells)
    y, x = np.divmod(within, width[shift])
    y, x = y + top[shift], x + left[shift]
    one = grid.start[a[shift]] + y * grid.columns[a[shift]] + x
    other = grid.start[b[shift]] + (y - down[shift]) * grid.columns[b[shift]] + x - right[shift]
    words = np.ascontiguousarray(grid.prints).view(np.uint64)
    said = (words[one] != 0).any(axis=1) & (words[other] != 0).any(axis=1)
    bits = np.bitwise_count(words[one] ^ words[other]).sum(axis=1, dtype=np.int64)
    tiles = np.bincount(shift[said], minlength=len(shifts))
    distance = np.bincount(shift[said], weights=bits[said], minlength=len(shifts))
    most = np.where(tiles == 1, _LONE_DISTANCE, _MEAN_DISTANCE) * tiles
    return np.asarray(distance <= most)

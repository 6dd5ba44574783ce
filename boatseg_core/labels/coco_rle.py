"""COCO's run lengths: counts of background and object pixels in turn, column by column.

They come as a list, or as a string in which every count is a variable number of six-bit characters
(``rleToString`` of the COCO API, cocodataset/cocoapi, common/maskApi.c, BSD).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from boatseg_core.errors import RleError
from boatseg_core.imaging import rle

_Array = npt.NDArray[np.int64]
# Five bits a character: twelve hold any int64 that is a number of pixels.
_LONGEST = 12


def to_runs(segmentation: dict[str, Any], height: int, width: int) -> rle.Runs:
    """Read a COCO run-length object.

    Args:
        segmentation: With ``size`` (height, width) and ``counts`` (list or string).
        height: Rows of the image the mask is for.
        width: Columns of that image.

    Returns:
        int64 ``[N, 2]``: zero-based start and length of each run.

    Raises:
        RleError: Another size (``other_size``), or counts that are none (``not_counts``), negative
            (``negative_count``) or do not cover the image (``out_of_bounds``, ``too_short``).
    """
    size = segmentation.get("size")
    if size != [height, width]:
        raise RleError(
            "other_size", f"the mask's size is {_shown(size)}, the image's {[height, width]}"
        )
    counts = _counts(segmentation.get("counts"))
    if len(counts) and counts.min() < 0:
        raise RleError("negative_count", f"count {int(counts.argmin())} is negative")
    total = float(counts.astype(np.float64).sum())
    if total != height * width:
        reason = "out_of_bounds" if total > height * width else "too_short"
        raise RleError(
            reason, f"the counts cover {total:.0f} pixels, the image has {height * width}"
        )
    ends = np.cumsum(counts)
    runs = np.stack((ends[0:-1:2], counts[1::2]), axis=1) if len(counts) > 1 else _NONE
    return runs[runs[:, 1] > 0]


def to_string(runs: rle.Runs, height: int, width: int) -> str:
    """Write runs as COCO's compressed counts.

    Args:
        runs: int64 ``[N, 2]``, sorted and disjoint.
        height: Rows of the image.
        width: Columns of the image.
    """
    edges = np.concatenate(([0], np.stack((runs[:, 0], runs.sum(axis=1)), axis=1).reshape(-1)))
    counts = np.diff(edges, append=height * width).tolist()
    if len(counts) > 1 and counts[-1] == 0:
        counts.pop()
    out = bytearray()
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            out.append(48 + (bits | 32 if more else bits))
            if not more:
                break
    return out.decode("ascii")


_NONE: rle.Runs = np.empty((0, 2), dtype=np.int64)


def _counts(counts: Any) -> _Array:
    if isinstance(counts, str):
        return _from_string(counts)
    if not isinstance(counts, list):
        raise RleError("not_counts", f"counts are {_shown(counts)}, neither a list nor a string")
    # A type check in one pass: NumPy would take 1.5, true and "1" for numbers.
    if not all(type(item) is int for item in counts):
        wrong = next(item for item in counts if type(item) is not int)
        raise RleError("not_counts", f"{_shown(wrong)} is not a whole number")
    try:
        return np.array(counts, dtype=np.int64)
    except OverflowError:
        raise RleError("out_of_bounds", "a count is larger than any image has pixels") from None


def _from_string(text: str) -> _Array:
    try:
        codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        codes = np.full(1, -1, dtype=np.int64)
    if not len(codes):
        return np.empty(0, dtype=np.int64)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise RleError("not_counts", "the string is not COCO's compressed counts")
    lasts = np.flatnonzero((codes & 32) == 0)
    lengths = np.diff(lasts, prepend=-1)
    if lengths.max() > _LONGEST:
        raise RleError("not_counts", "a compressed count is larger than any image has pixels")
    firsts = lasts - lengths + 1
    place = np.arange(len(codes)) - np.repeat(firsts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * place), firsts)
    values -= np.where(codes[lasts] & 16, np.int64(1) << (5 * lengths), 0)
    # From the fourth on a count is written as the difference from the one two before.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _shown(value: Any) -> str:
    return repr(value)[:60]

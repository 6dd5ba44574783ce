"""Run-length encoding of binary masks.

The layout is that of the Airbus Ship Detection Challenge: space-separated ``start length`` pairs
over the pixels in column-major order (top to bottom, then left to right), starts counted from 1.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from boatseg_core.errors import RleError

BoolMask = npt.NDArray[np.bool_]
Runs = npt.NDArray[np.int64]

# One character class: linear in time and memory, whatever a 10 MB cell holds.
_INTEGERS = re.compile(r"[0-9\s]*", re.ASCII)
# No image has so many pixels, and the sum of two smaller numbers still fits int64.
_TOO_LARGE = 10**18
_ONE_INDEXED = np.array([1, 0], dtype=np.int64)
_NONE: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)


def parse(text: str, *, height: int | None = None, width: int | None = None) -> Runs:
    """Parse and validate a run-length string.

    Args:
        text: ``"start length start length ..."``; empty or blank means no pixel.
        height: Rows of the image, in pixels; with ``width`` it bounds the runs.
        width: Columns of the image, in pixels.

    Returns:
        int64 ``[N, 2]``: zero-based start and length of each run, sorted by start.

    Raises:
        RleError: Not integers (``not_integers``), odd count (``odd_length``), a start below 1
            (``start_below_one``), a run without length (``empty_run``), a run beyond the image
            (``out_of_bounds``), or runs that overlap each other (``overlapping_runs``).
    """
    if not _INTEGERS.fullmatch(text):
        token = next((t for t in text.split() if not (t.isascii() and t.isdigit())), text)
        raise RleError("not_integers", f"{token[:40]!r} is not a positive whole number")
    # NumPy's text parser (not its deprecated binary one) saturates where a number overflows.
    numbers = np.fromstring(text, dtype=np.int64, sep=" ") if text.strip() else _NONE
    if numbers.max(initial=0) >= _TOO_LARGE:
        raise RleError("out_of_bounds", "a number is larger than any image has pixels")
    if numbers.size % 2:
        raise RleError(
            "odd_length", f"{numbers.size} numbers do not make pairs of start and length"
        )
    runs = numbers.reshape(-1, 2)
    if not len(runs):
        return runs
    if runs[:, 0].min() < 1:
        raise RleError("start_below_one", "starts are counted from 1, found 0")
    if runs[:, 1].min() < 1:
        at = int(runs[int(runs[:, 1].argmin()), 0])
        raise RleError("empty_run", f"the run at {at} has length 0")
    runs = runs - _ONE_INDEXED
    if np.any(np.diff(runs[:, 0]) < 0):
        runs = runs[np.argsort(runs[:, 0], kind="stable")]
    ends = runs[:, 0] + runs[:, 1]
    if height is not None and width is not None and int(ends.max()) > height * width:
        raise RleError(
            "out_of_bounds",
            f"a run ends at pixel {int(ends.max())}, beyond the {width}x{height} image's "
            f"{height * width} pixels",
        )
    if np.any(ends[:-1] > runs[1:, 0]):
        at = int(runs[1:, 0][ends[:-1] > runs[1:, 0]][0]) + 1
        raise RleError("overlapping_runs", f"two runs cover pixel {at}")
    return runs


def fill(runs: Runs, out: npt.NDArray[np.uint8], value: int = 1) -> None:
    """Paint runs into a column-major mask.

    Args:
        runs: int64 ``[N, 2]`` as :func:`parse` returns them, inside ``out``.
        out: uint8 ``[W, H]``, C-contiguous: the transpose of the image, so that one run is one
            contiguous stretch of memory. Changed in place.
        value: What covered pixels become.
    """
    flat = out.reshape(-1)
    for start, length in runs.tolist():
        flat[start : start + length] = value


def decode(text: str, height: int, width: int) -> BoolMask:
    """Decode a run-length string into a mask.

    Args:
        text: ``"start length ..."`` pairs, column-major, 1-indexed.
        height: Rows, in pixels.
        width: Columns, in pixels.

    Returns:
        bool ``[H, W]``.

    Raises:
        RleError: See :func:`parse`.
    """
    columns = np.zeros((width, height), dtype=np.uint8)
    fill(parse(text, height=height, width=width), columns)
    return columns.T.astype(np.bool_)


def encode(mask: npt.NDArray[np.bool_] | npt.NDArray[np.uint8]) -> str:
    """Encode a mask as a run-length string; the inverse of :func:`decode`.

    Args:
        mask: ``[H, W]``, bool or 0/1 numbers.

    Returns:
        Pairs in ascending order, adjacent runs merged; an empty string for an empty mask.
    """
    flat = np.asarray(mask, dtype=np.bool_).T.reshape(-1)
    padded = np.zeros(flat.size + 2, dtype=np.int8)
    padded[1:-1] = flat
    edges = np.flatnonzero(np.diff(padded))
    edges[1::2] -= edges[::2]
    return to_text(edges.reshape(-1, 2))


def merge(runs: Runs) -> Runs:
    """Join runs that overlap or touch.

    Args:
        runs: int64 ``[N, 2]``: zero-based start and length of each run, in any order.

    Returns:
        int64 ``[M, 2]``, sorted by start, with a gap before every run.
    """
    if len(runs) < 2:
        return runs
    starts, ends = runs[:, 0], runs[:, 0] + runs[:, 1]
    if np.all(starts[1:] > ends[:-1]):
        return runs
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    opens = np.concatenate(([True], starts[1:] > reach[:-1]))
    firsts = starts[opens]
    lasts = reach[np.append(np.flatnonzero(opens)[1:] - 1, len(starts) - 1)]
    return np.stack((firsts, lasts - firsts), axis=1)


def to_text(runs: Runs) -> str:
    """Write runs as a run-length string.

    Args:
        runs: int64 ``[N, 2]``: zero-based start and length of each run.

    Returns:
        ``"start length ..."`` with starts counted from 1; runs that touch or overlap are merged, so
        that the same pixels always make the same text.
    """
    runs = merge(runs)
    return " ".join(map(str, (runs + _ONE_INDEXED).reshape(-1).tolist()))


def area(text: str) -> int:
    """Count the pixels a run-length string covers, without painting it.

    Raises:
        RleError: See :func:`parse`.
    """
    return int(parse(text)[:, 1].sum())

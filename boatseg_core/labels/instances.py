"""Objects as numbers in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from boatseg_core.imaging import rle


def instance_map(
    rles: Sequence[str], height: int, width: int, values: Sequence[int] | None = None
) -> npt.NDArray[np.int32]:
    """Paint objects into a map of their numbers.

    For a row of ``rasterized_masks`` or ``gold_dataset``::

        instance_map(row["boat_rles"], row["height"], row["width"])

    Args:
        rles: Run lengths of each object.
        height: Rows, in pixels.
        width: Columns, in pixels.
        values: Number of each object; by default 1, 2, 3 and so on.

    Returns:
        int32 ``[H, W]``: 0 for the background; where objects overlap, the later one.

    Raises:
        RleError: See :func:`boatseg_core.imaging.rle.parse`.
    """
    columns = np.zeros((width, height), dtype=np.int32)
    flat = columns.reshape(-1)
    numbers = range(1, len(rles) + 1) if values is None else values
    for text, number in zip(rles, numbers, strict=True):
        for start, length in rle.parse(text, height=height, width=width).tolist():
            flat[start : start + length] = number
    return columns.T

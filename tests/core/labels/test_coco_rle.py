from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from boatseg_core.errors import RleError
from boatseg_core.imaging import rle
from boatseg_core.labels import coco_rle

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20))


def counts_of(mask: np.ndarray) -> list[int]:
    """Uncompressed counts, pixel by pixel."""
    counts, last = [0], False
    for pixel in mask.T.reshape(-1).tolist():
        if pixel != last:
            counts.append(0)
            last = pixel
        counts[-1] += 1
    return counts


@given(MASKS)
def test_both_forms_are_the_mask(mask: np.ndarray) -> None:
    height, width = mask.shape
    size = [height, width]
    runs = coco_rle.to_runs({"size": size, "counts": counts_of(mask)}, height, width)
    assert rle.to_text(runs) == rle.encode(mask)
    text = coco_rle.to_string(runs, height, width)
    again = coco_rle.to_runs({"size": size, "counts": text}, height, width)
    assert rle.to_text(again) == rle.encode(mask)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=9))
def test_large_counts_survive_the_string(lengths: list[int]) -> None:
    ends = np.cumsum([n + 1 for n in lengths] * 2)
    runs = np.stack((ends[0:-1:2], np.diff(ends)[0::2]), axis=1)
    total = int(ends[-1])
    text = coco_rle.to_string(runs, total, 1)
    back = coco_rle.to_runs({"size": [total, 1], "counts": text}, total, 1)
    np.testing.assert_array_equal(back, runs)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [3, 2], "counts": [6]}, "other_size"),
        ({"size": "2x3", "counts": [6]}, "other_size"),
        ({"counts": [6]}, "other_size"),
        ({"size": [2, 3]}, "not_counts"),
        ({"size": [2, 3], "counts": {"a": 1}}, "not_counts"),
        ({"size": [2, 3], "counts": [1, "5"]}, "not_counts"),
        ({"size": [2, 3], "counts": [1.5, 4.5]}, "not_counts"),
        ({"size": [2, 3], "counts": [True, 5]}, "not_counts"),
        ({"size": [2, 3], "counts": [2, -1, 5]}, "negative_count"),
        ({"size": [2, 3], "counts": [2, 1]}, "too_short"),
        ({"size": [2, 3], "counts": []}, "too_short"),
        ({"size": [2, 3], "counts": ""}, "too_short"),
        ({"size": [2, 3], "counts": [2, 5]}, "out_of_bounds"),
        ({"size": [2, 3], "counts": [2, 10**30]}, "out_of_bounds"),
        ({"size": [2, 3], "counts": [2**62, 2**62, 2**62, 2**62]}, "out_of_bounds"),
        ({"size": [2, 3], "counts": "'; DROP TABLE"}, "not_counts"),
        ({"size": [2, 3], "counts": "é"}, "not_counts"),
        ({"size": [2, 3], "counts": "o"}, "not_counts"),
        ({"size": [2, 3], "counts": "o" * 40 + "0"}, "not_counts"),
    ],
)
def test_what_cannot_be_used_has_a_reason(segmentation: dict[str, Any], reason: str) -> None:
    with pytest.raises(RleError) as caught:
        coco_rle.to_runs(segmentation, 2, 3)
    assert caught.value.reason == reason


def test_empty_runs_between_others_are_left_out() -> None:
    runs = coco_rle.to_runs({"size": [2, 3], "counts": [1, 0, 2, 1, 2]}, 2, 3)
    assert runs.tolist() == [[3, 1]]

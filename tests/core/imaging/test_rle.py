from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from boatseg_core.errors import RleError
from boatseg_core.imaging import rle

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


def decode_pixel_by_pixel(text: str, height: int, width: int) -> np.ndarray:
    """Decode without sharing a line with the code under test."""
    mask = np.zeros((height, width), dtype=bool)
    numbers = [int(token) for token in text.split()]
    for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
        for pixel in range(start - 1, start - 1 + length):
            column, row = divmod(pixel, height)
            mask[row, column] = True
    return mask


@given(MASKS)
def test_round_trip(mask: np.ndarray) -> None:
    text = rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(text, *mask.shape), mask)
    assert rle.area(text) == mask.sum()
    assert rle.encode(mask.astype(np.uint8)) == text


@given(MASKS)
def test_encoding_agrees_with_the_pixel_by_pixel_decoder(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_pixel_by_pixel(rle.encode(mask), *mask.shape), mask)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int, int]:
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    edges = sorted(draw(st.sets(st.integers(1, height * width + 1), max_size=16)))
    pairs = [(a, b - a) for a, b in zip(edges[0::2], edges[1::2], strict=False)]
    return draw(st.permutations(pairs)), height, width


@given(runs(), st.sampled_from([" ", "  ", "\t", "\n", "\r\n"]))
def test_any_valid_runs_in_any_order(
    case: tuple[list[tuple[int, int]], int, int], gap: str
) -> None:
    pairs, height, width = case
    text = gap.join(f"{start} {length}" for start, length in pairs)
    np.testing.assert_array_equal(
        rle.decode(text, height, width), decode_pixel_by_pixel(text, height, width)
    )
    assert rle.area(text) == sum(length for _, length in pairs)


def test_column_major_and_counted_from_one() -> None:
    expected = np.zeros((3, 2), dtype=bool)
    expected[0, 0] = expected[2, 0] = expected[0, 1] = True  # the run goes on in the next column
    np.testing.assert_array_equal(rle.decode("1 1 3 2", 3, 2), expected)


@pytest.mark.parametrize("text", ["", " ", "\r\n", " " * 10_000])
def test_blank_is_an_empty_mask(text: str) -> None:
    assert rle.parse(text, height=4, width=4).shape == (0, 2)
    assert not rle.decode(text, 4, 4).any()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 2 3", "odd_length"),
        ("7", "odd_length"),
        ("1 2 x", "not_integers"),
        ("1.5 2", "not_integers"),
        ("-1 2", "not_integers"),
        ("+1 2", "not_integers"),
        ("1,2", "not_integers"),
        ("1e1 2", "not_integers"),
        ("nan", "not_integers"),
        ("0x1 2", "not_integers"),
        ("1_0 2", "not_integers"),
        ("٣ 2", "not_integers"),
        ("²", "not_integers"),
        ("1\u00a02", "not_integers"),
        ("1 2\x00", "not_integers"),
        ("'; DROP TABLE raw_masks; --", "not_integers"),
        ("0 2", "start_below_one"),
        ("3 0", "empty_run"),
        ("12 2", "out_of_bounds"),
        ("13 1", "out_of_bounds"),
        ("1 13", "out_of_bounds"),
        ("1 9223372036854775807", "out_of_bounds"),
        ("9223372036854775807 9223372036854775807", "out_of_bounds"),
        ("99999999999999999999999999 1", "out_of_bounds"),
        ("1 3 3 1", "overlapping_runs"),
        ("5 2 1 5", "overlapping_runs"),
        ("2 1 2 1", "overlapping_runs"),
    ],
)
def test_every_invalid_text_has_its_reason(text: str, reason: str) -> None:
    with pytest.raises(RleError) as caught:
        rle.decode(text, 3, 4)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 200


def test_the_last_pixel_is_inside_and_touching_runs_do_not_overlap() -> None:
    assert rle.decode("12 1", 3, 4)[2, 3]
    assert rle.decode("1 6 7 6", 3, 4).all()


def test_without_a_size_only_the_form_is_checked() -> None:
    assert rle.area("1 5 100000 7") == 12
    with pytest.raises(RleError, match="larger than any image"):
        rle.area("1 1000000000000000000")


@given(st.text(max_size=40))
def test_any_text_is_a_mask_or_an_rle_error(text: str) -> None:
    try:
        mask = rle.decode(text, 5, 7)
    except RleError as error:
        assert error.reason
    else:
        np.testing.assert_array_equal(mask, decode_pixel_by_pixel(text, 5, 7))


@pytest.mark.parametrize("text", [" " * 2_000_000 + "x", "1 1 " * 500_000 + "x", "9" * 2_000_000])
def test_huge_junk_is_refused_in_linear_time(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(RleError):
        rle.parse(text, height=768, width=768)
    # Linear takes milliseconds; a backtracking expression would take hours.
    assert time.perf_counter() - started < 5

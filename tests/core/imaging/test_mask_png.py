from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from boatseg_core.errors import ImageError, InputError
from boatseg_core.imaging.mask_png import decode_mask, encode_mask, encode_packed

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70))


def _scene(height: int = 768, width: int = 768) -> np.ndarray:
    rng = np.random.default_rng(5)
    mask = np.zeros((height, width), dtype=bool)
    for _ in range(6):
        y, x = rng.integers(0, height - 40), rng.integers(0, width - 40)
        mask[y : y + rng.integers(3, 40), x : x + rng.integers(3, 40)] = True
    return mask


@given(MASKS)
def test_round_trip_is_lossless(mask: np.ndarray) -> None:
    decoded = decode_mask(encode_mask(mask))
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, mask)


@given(MASKS)
def test_pillow_reads_the_same_one_bit_picture(mask: np.ndarray) -> None:
    with Image.open(io.BytesIO(encode_mask(mask))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "1", mask.shape[::-1])
        np.testing.assert_array_equal(np.asarray(image), mask)


@given(MASKS, st.sampled_from(["1", "L", "P", "RGB", "LA"]), st.booleans())
def test_png_of_other_writers_is_read(mask: np.ndarray, mode: str, optimize: bool) -> None:
    out = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert(mode).save(out, "PNG", optimize=optimize)
    np.testing.assert_array_equal(decode_mask(out.getvalue()), mask)


def test_jpeg_is_thresholded() -> None:
    mask = _scene()
    data = encode_mask(mask, format="jpeg")
    assert data[:2] == b"\xff\xd8"
    np.testing.assert_array_equal(decode_mask(data), mask)


def test_sixteen_bit_grey_is_thresholded_at_half() -> None:
    grey = np.array([[0, 32767], [32768, 65535]], dtype=np.uint16)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    np.testing.assert_array_equal(decode_mask(out.getvalue()), grey >= 32768)


def test_column_major_and_packed_input() -> None:
    mask = _scene(50, 77)
    assert encode_mask(np.asfortranarray(mask)) == encode_mask(mask)
    assert encode_mask(mask.astype(np.uint8)) == encode_mask(mask)
    assert encode_packed(np.packbits(mask, axis=1), 77) == encode_mask(mask)


def test_mask_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="two dimensions"):
        encode_mask(np.zeros((0, 4), dtype=bool))


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(40)])
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode_mask(data)


def test_a_gif_is_refused_although_pillow_could_read_it() -> None:
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "GIF")
    with pytest.raises(ImageError) as caught:
        decode_mask(out.getvalue())
    assert caught.value.reason == "not_an_image"


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_every_truncation_is_refused(format: str) -> None:
    data = encode_mask(_scene(), format=format)  # type: ignore[arg-type]
    for keep in np.linspace(0, len(data) * 0.8, 40).astype(int):
        with pytest.raises(ImageError):
            decode_mask(data[:keep])


def test_damaged_pixels_are_refused() -> None:
    data = bytearray(encode_mask(_scene()))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError):
        decode_mask(bytes(data))


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_too_many_pixels_are_refused(format: str) -> None:
    data = encode_mask(np.zeros((20, 30), dtype=bool), format=format)  # type: ignore[arg-type]
    assert decode_mask(data, max_pixels=600).shape == (20, 30)
    with pytest.raises(ImageError) as caught:
        decode_mask(data, max_pixels=599)
    assert caught.value.reason == "too_many_pixels"


def test_a_stream_that_unpacks_to_more_than_the_header_says_stays_bounded() -> None:
    header = struct.pack(">4sIIBBBBB", b"IHDR", 8, 2, 1, 0, 0, 0, 0)
    body = b"IDAT" + zlib.compress(bytes(50_000_000))
    parts = [header, body, b"IEND"]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(p) - 4) + p + struct.pack(">I", zlib.crc32(p)) for p in parts
    )
    assert decode_mask(data).shape == (2, 8)

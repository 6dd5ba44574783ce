"""The decoder gives the library's pixels, or leaves the file to it."""

from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from support.coded import coded_jpeg
from support.fuzz import decoded, library_pixels, walked
from support.pictures import encoded, texture

from boatseg_core.errors import ImageError
from boatseg_core.imaging import jpeg, native
from boatseg_core.imaging.decode import decode, open_image
from boatseg_core.imaging.measure import measure
from boatseg_core.imaging.native import NATIVE
from boatseg_core.imaging.scaled import image_at, region

needs_native = pytest.mark.skipif(not NATIVE, reason="installed without a C compiler")

SIZES = [(8, 10), (9, 17), (33, 16), (64, 64), (71, 45), (45, 71), (200, 333), (50, 1100)]


def pixels(seed: int, height: int, width: int, kind: str) -> np.ndarray:
    if kind == "texture":
        return texture(seed, height, width)
    if kind == "smooth":  # few coefficients, and blocks of none
        ramp = np.linspace(0, 255, width)[None, :] * np.linspace(0.3, 1, height)[:, None]
        return np.stack([ramp, ramp * 0.7, np.full_like(ramp, 90)], axis=-1).astype(np.uint8)
    rng = np.random.default_rng(seed)  # the longest codes, and values that have to be clamped
    return rng.choice(np.array([0, 128, 255], np.uint8), (height, width, 3))


def file(image: np.ndarray, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture
def large_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 2**22)  # or Pillow cannot write noise


@needs_native
@pytest.mark.usefixtures("large_buffer")
@pytest.mark.parametrize("kind", ["texture", "smooth", "noise"])
@pytest.mark.parametrize("quality", [5, 75, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_whole_files_give_the_librarys_pixels(kind: str, quality: int, subsampling: int) -> None:
    # Pixels far out of range are left to the library: its C and its SIMD code differ there.
    allowed = (True, None) if kind == "noise" and quality < 75 else (True,)
    for number, (height, width) in enumerate(SIZES):
        image = pixels(number, height, width, kind)
        for options in ({}, {"optimize": True}, {"restart_marker_blocks": 3}):
            data = file(image, quality=quality, subsampling=subsampling, **options)
            assert decoded(data) in allowed, (number, options)
        assert decoded(file(image, "L", quality=quality)) in allowed, number


@needs_native
def test_chroma_may_be_halved_downwards_alone() -> None:
    for number, (height, width) in enumerate(SIZES):
        data = bytearray(file(texture(number, width, height), subsampling=1))
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = data[at + 7 : at + 9] + data[at + 5 : at + 7]
        data[at + 11] = 0x12  # blocks of a picture on its side: another picture, as whole
        assert decoded(bytes(data)) in (True, None), number
    square = bytearray(file(texture(1, 64, 64), subsampling=1))
    square[square.index(b"\xff\xc0") + 11] = 0x12
    assert decoded(bytes(square)) is True


@needs_native
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("halved", [False, True])
def test_every_box_is_a_part_of_the_whole(subsampling: int, halved: bool) -> None:
    height, width = 75, 101
    data = file(texture(3, height, width), quality=80, subsampling=subsampling)
    whole = jpeg.pixels(data, (width, height), halved=halved)
    assert whole is not None
    rng = np.random.default_rng(subsampling)
    down, across = whole.shape[:2]
    boxes = [(0, 0, 1, 1), (across - 1, down - 1, 1, 1), (0, down - 1, across, 1)]
    for _ in range(150):
        left, top = int(rng.integers(across)), int(rng.integers(down))
        wide, tall = int(rng.integers(1, across - left + 1)), int(rng.integers(1, down - top + 1))
        boxes.append((left, top, wide, tall))
    for left, top, wide, tall in boxes:
        box = jpeg.pixels(data, (width, height), box=(left, top, wide, tall), halved=halved)
        expected = whole[top : top + tall, left : left + wide]
        assert box is not None
        assert np.array_equal(box, expected), (left, top, wide, tall)


@needs_native
@pytest.mark.parametrize("box", [(-1, 0, 4, 4), (0, 0, 0, 4), (60, 0, 5, 4), (0, 44, 4, 5)])
def test_a_box_outside_of_the_picture_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="size of the picture"):
        jpeg.pixels(file(texture(4, 48, 64)), (64, 48), box=box)


@needs_native
def test_a_kind_that_the_processor_does_not_have_is_refused() -> None:
    assert native.pixels is not None
    out = np.empty((8, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="kind of decoder"):
        native.pixels.decode(file(texture(4, 8, 16)), 16, 8, 0, 0, 16, 8, False, out, 9)


@needs_native
def test_no_part_of_a_file_passes_for_a_whole_one() -> None:
    for options in ({"subsampling": 2}, {"restart_marker_blocks": 2, "subsampling": 0}):
        data = file(texture(5, 40, 40), quality=60, **options)
        assert jpeg.pixels(data, (40, 40)) is not None
        for length in range(len(data)):
            assert jpeg.pixels(data[:length], (40, 40)) is None


@needs_native
def test_no_flipped_bit_is_taken_for_another_picture_than_the_librarys() -> None:
    data = file(texture(6, 24, 24), quality=70, optimize=True)
    found = []
    for bit in range(8 * data.index(b"\xff\xda"), 8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        found.append(decoded(bytes(broken)))
    assert False not in found
    assert min(found.count(None), found.count(True)) > 100


@needs_native
def test_what_no_encoder_would_write_is_read_as_the_library_does_or_left_to_it() -> None:
    decodes, walks = [], []
    for seed in range(1000):
        data, _, _ = coded_jpeg(seed)
        assert library_pixels(data) is not None  # legal, every one
        decodes.append(decoded(data))
        walks.append(walked(data))
    assert False not in decodes
    assert False not in walks
    assert min(decodes.count(True), decodes.count(None)) > 200
    assert min(walks.count(True), walks.count(None)) > 200


@needs_native
def test_pictures_of_any_small_size_are_the_librarys() -> None:
    for height in range(1, 20):
        for width in range(10, 30):
            image = texture(height, height, width)
            for options in ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}):
                assert decoded(file(image, **options)) is True, (height, width, options)


@needs_native
@pytest.mark.parametrize(("height", "width"), [(1, 65500), (65500, 16), (9, 65500)])
def test_the_longest_pictures_are_the_librarys(height: int, width: int) -> None:
    row = texture(1, 8, 4096)
    image = np.resize(row, (height, width, 3))
    for options in ({"subsampling": 0}, {"subsampling": 2, "restart_marker_blocks": 65535}):
        assert decoded(file(image, quality=60, **options)) is True


@needs_native
def test_threads_share_the_tables() -> None:
    rng = np.random.default_rng(7)
    files = [
        file(texture(seed, *rng.integers(20, 90, 2)), quality=50 + seed, optimize=True)
        for seed in range(40)
    ]
    expected = [library_pixels(data) for data in files]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            got = list(pool.map(decode, files))
            assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_reading_gives_the_same_with_and_without_the_decoder(
    monkeypatch: pytest.MonkeyPatch, orientation: int | None, mode: str
) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    data = file(texture(8, 264, 520), mode, exif=exif)
    ways = [
        lambda: decode(data),
        lambda: image_at(data, 132, 132),
        lambda: image_at(data, 132, 260),
        lambda: image_at(data, 264, 300),
        lambda: region(data, 200, 100, 64, 48),
        lambda: region(data, 500, 10, 64, 500),
        lambda: np.frombuffer(measure(data).histogram, "<u4"),
    ]
    found = [way() for way in ways]
    measured = measure(data)

    monkeypatch.setattr(native, "pixels", None)

    assert all(np.array_equal(way(), each) for way, each in zip(ways, found, strict=True))
    assert measure(data) == measured


def test_a_region_is_cut_out_of_any_format() -> None:
    image = texture(9, 60, 80)
    got = region(encoded(image, "PNG"), 10, 20, 30, 100)
    assert np.array_equal(got, image[20:60, 10:40])
    with pytest.raises(ImageError):
        region(encoded(image, "PNG")[:200], 10, 20, 30, 10)


def test_a_broken_orientation_is_left_to_the_library() -> None:
    data = file(texture(10, 16, 16))
    broken = data[:2] + b"\xff\xe1\x00\x10Exif\0\0II*\0\xff\xff\xff\x7f" + data[2:]
    image = open_image(broken)
    if jpeg.is_plain(image):  # Pillow read the block as empty
        assert np.array_equal(decode(broken), library_pixels(broken))
    else:
        with pytest.raises(ImageError):
            decode(broken)


@pytest.mark.parametrize("kind", [2, 7])
def test_an_orientation_that_is_text_turns_nothing(kind: int) -> None:
    image = texture(11, 48, 64)
    tag = struct.pack("<HHI4sI", 0x112, kind, 2, b"6\0\0\0", 0)
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + tag
    data = file(image)
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    assert np.array_equal(decode(data), library_pixels(file(image)))
    assert image_at(data, 24, 48).shape == (24, 48, 3)


def test_a_region_does_not_begin_outside_of_the_picture() -> None:
    for data in (file(texture(12, 32, 32)), encoded(texture(12, 32, 32), "PNG")):
        with pytest.raises(ValueError, match="neither may be negative"):
            region(data, -1, 0, 4, 4)

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from support.fuzz import walked
from support.pictures import encoded, texture

from boatseg_core.imaging import jpeg as jpeg_module
from boatseg_core.imaging import measure as module
from boatseg_core.imaging import native, walk
from boatseg_core.imaging.decode import open_image
from boatseg_core.imaging.measure import measure
from boatseg_core.imaging.native import NATIVE
from boatseg_core.imaging.reduced import planes_of, reduce

needs_native = pytest.mark.skipif(not NATIVE, reason="installed without a C compiler")

SIZES = [(8, 8), (9, 17), (33, 16), (64, 64), (71, 45), (200, 333)]


def pixels(seed: int, height: int, width: int, kind: str) -> np.ndarray:
    if kind == "texture":
        return texture(seed, height, width)
    rng = np.random.default_rng(seed)  # the longest codes, and values that have to be clamped
    return rng.choice(np.array([0, 128, 255], np.uint8), (height, width, 3))


def jpeg(image: np.ndarray, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def read(data: bytes) -> np.ndarray | None:
    with Image.open(io.BytesIO(data)) as image:
        return walk.walk(data, *image.size)


@pytest.fixture
def large_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 2**22)  # or Pillow cannot write noise


def frame(data: bytes) -> int:
    """Where the frame header's first component starts."""
    return data.index(b"\xff\xc0") + 10


@needs_native
@pytest.mark.usefixtures("large_buffer")
@pytest.mark.parametrize("kind", ["texture", "noise"])
@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_whole_files_give_the_librarys_pixels(kind: str, quality: int, subsampling: int) -> None:
    for number, (height, width) in enumerate(SIZES):
        image = pixels(number, height, width, kind)
        for options in (
            {"optimize": True},
            {"restart_marker_blocks": 3},
            {"restart_marker_rows": 1},
            {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", "comment": b"\xff\xd9"},
        ):
            data = jpeg(image, quality=quality, subsampling=subsampling, **options)
            assert walked(data) is True, (number, options)
        assert walked(jpeg(image, "L", quality=quality)) is True


@needs_native
def test_chroma_may_be_halved_downwards_and_grey_may_claim_any_sampling() -> None:
    data = bytearray(jpeg(texture(1, 64, 64), subsampling=1))
    data[frame(data) + 1] = 0x12  # as many blocks, in another order
    assert walked(bytes(data)) is True
    grey = bytearray(jpeg(texture(2, 40, 56), "L"))
    grey[frame(grey) + 1] = 0x22
    assert walked(bytes(grey)) is True


@needs_native
def test_what_follows_the_picture_does_not_matter() -> None:
    data = jpeg(texture(3, 48, 64))
    assert walked(data + data) is True
    assert walked(data + b"\xff") is True


def without(data: bytes, marker: bytes) -> bytes:
    at = data.index(marker)
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def test_what_is_unusual_is_left_to_the_library() -> None:
    image = texture(4, 48, 64)
    data = jpeg(image)
    end, start = len(data) - 2, data.index(b"\xff\xda")
    sixteen = data.index(b"\xff\xdb")
    plain = without(data, b"\xff\xe0")
    unnamed = bytearray(plain)
    for component in range(3):  # no JFIF header, and not named 1, 2, 3: libjpeg has to guess
        unnamed[frame(plain) + 3 * component] = b"RGB"[component]
        unnamed[plain.index(b"\xff\xda") + 5 + 2 * component] = b"RGB"[component]
    assert (read(plain) is not None) == NATIVE
    for unusual in (
        jpeg(image, progressive=True),
        jpeg(image, "CMYK"),
        jpeg(image, keep_rgb=True),
        bytes(unnamed),
        data[:end],
        data[: end + 1],
        data[:end] + b"\0" + data[end:],
        data[:end] + b"\xff" + data[end:],  # fill bytes are allowed, and met by none
        data[:end] + b"\xff\xd0" + data[end:],
        data[:start] + b"\xff" + data[start:],
        without(data, b"\xff\xc4"),
        without(data, b"\xff\xdb"),
        data[: sixteen + 4] + b"\x10" + data[sixteen + 5 :],
        data[: frame(data) + 1] + b"\x41" + data[frame(data) + 2 :],
        data[: start + 11] + b"\x01" + data[start + 12 :],
    ):
        assert walk.walk(unusual, 64, 48) is None
    assert walk.walk(data, 64, 56) is None
    assert walk.walk(b"", 8, 8) is None


@needs_native
def test_no_part_of_a_file_passes_for_a_whole_one() -> None:
    for options in ({"subsampling": 2}, {"restart_marker_blocks": 2, "subsampling": 0}):
        data = jpeg(texture(5, 40, 40), quality=60, **options)
        assert read(data) is not None
        for length in range(len(data)):
            assert walk.walk(data[:length], 40, 40) is None


@needs_native
def test_no_flipped_bit_is_taken_for_another_picture_than_the_librarys() -> None:
    data = jpeg(texture(6, 24, 24), quality=70, optimize=True)
    found = []
    for bit in range(8 * data.index(b"\xff\xda"), 8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        found.append(walked(bytes(broken)))
    assert False not in found
    assert min(found.count(None), found.count(True)) > 100


@needs_native
def test_threads_share_tables_of_more_files_than_are_kept() -> None:
    rng = np.random.default_rng(7)
    files = []
    for number in range(24):  # four Huffman tables each, made for the picture
        image = np.clip(rng.normal(128, 3 * number + 1, (96, 96, 3)), 0, 255).astype(np.uint8)
        files.append(jpeg(image, optimize=True, quality=90))
    assert len({data[data.index(b"\xff\xc4") :][:400] for data in files}) > 16
    expected = [planes.tobytes() for data in files if (planes := read(data)) is not None]
    assert len(expected) == len(files)
    order = rng.permutation(np.repeat(np.arange(len(files)), 20))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: (at, walk.walk(files[at], 96, 96)), order))
    for at, planes in found:
        assert planes is not None
        assert planes.tobytes() == expected[at]


@pytest.mark.parametrize("orientation", [None, 1, 2, 6, 0, 9])
def test_measurements_are_the_same_without_the_walker(
    orientation: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    data = encoded(texture(8, 264, 520), exif=exif)

    found = measure(data, mode="entropy")

    monkeypatch.setattr(module, "walk", lambda *arguments: None)
    assert found == measure(data, mode="entropy")
    monkeypatch.setattr(native, "pixels", None)
    assert found == measure(data, mode="entropy")


@pytest.mark.parametrize(
    ("version", "known"),
    [(None, False), ("1.2.90", False), ("1.5.0", False), ("1.5.1", NATIVE), ("2.1.5.1", NATIVE)],
)
def test_a_library_that_may_round_otherwise_is_not_imitated(
    monkeypatch: pytest.MonkeyPatch, version: str | None, known: bool
) -> None:
    data = jpeg(texture(9, 48, 48))
    monkeypatch.setattr(jpeg_module.features, "version_feature", lambda name: version)
    jpeg_module.rounds_as_known.cache_clear()
    try:
        assert (walk.walk(data, 48, 48) is not None) == known
        assert jpeg_module.is_plain(open_image(data)) == known
    finally:
        jpeg_module.rounds_as_known.cache_clear()


def test_the_comparison_is_with_a_draft() -> None:
    # `walked` compares with what is decoded at 1/8 indeed.
    image = Image.open(io.BytesIO(jpeg(texture(10, 48, 64))))
    assert reduce(image, 1)
    assert planes_of(image.convert("RGB")).shape == (3, 6, 8)

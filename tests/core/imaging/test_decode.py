from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from support.pictures import encoded, texture

from boatseg_core.errors import ImageError
from boatseg_core.imaging.decode import MAX_SCANS, REASONS, decode, open_image


def refused(data: bytes, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, **options)
    assert caught.value.reason in REASONS
    assert str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_every_format_becomes_rgb(format_name: str) -> None:
    image = texture(1, 40, 60)

    found = decode(encoded(image, format_name, quality=95))

    assert found.shape == (40, 60, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - image).mean() < 15


def test_lossless_formats_keep_every_pixel() -> None:
    image = texture(2, 33, 17)
    assert (decode(encoded(image, "PNG")) == image).all()


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_other_modes_become_rgb(mode: str) -> None:
    buffer = io.BytesIO()
    picture = Image.fromarray(texture(3, 32, 32)).convert(mode)
    picture.save(buffer, "TIFF" if mode == "CMYK" else "PNG")

    assert decode(buffer.getvalue()).shape == (32, 32, 3)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = np.linspace(0, 65_535, 256, dtype=np.uint16).reshape(16, 16)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")

    found = decode(buffer.getvalue())

    assert (found[..., 0] == (grey // 257).astype(np.uint8)).all()


def test_the_exif_orientation_is_applied() -> None:
    image = texture(4, 20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", exif=exif)

    assert (decode(buffer.getvalue()) == np.rot90(image, -1)).all()


def test_damaged_bytes_have_a_reason() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    jpeg, png = encoded(noise), encoded(noise, "PNG")
    assert refused(b"") == "empty"
    assert refused(b"hello") == "not_an_image"
    assert refused(jpeg[: len(jpeg) // 2]) == "truncated"
    assert refused(png[: len(png) // 2]) in ("truncated", "corrupt")
    assert refused(jpeg[:20]) in ("not_an_image", "corrupt")
    broken = bytearray(png)
    broken[len(png) // 2] ^= 0xFF
    assert refused(bytes(broken)) in ("corrupt", "truncated")


def test_postscript_is_never_opened() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    assert refused(eps) == "not_an_image"


def test_lack_of_memory_is_not_blamed_on_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(texture(1, 32, 32), "PNG")

    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(ImageFile.ImageFile, "load", exhausted)
        decode(data)
    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(Image, "open", exhausted)
        decode(data)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))


def test_the_setting_alone_bounds_the_size() -> None:
    # Pillow itself refuses more than 179 million pixels.
    with open_image(png_header(20_000, 20_000), max_pixels=400_000_000) as image:
        assert image.size == (20_000, 20_000)
    assert refused(png_header(20_000, 20_000), max_pixels=399_999_999) == "too_many_pixels"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's size from the kernel")
def test_a_huge_header_costs_no_memory() -> None:
    canvas = (65_535 - 1).to_bytes(3, "little")
    alpha = b"ALPH" + struct.pack("<I", 2) + b"\0\0"
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + canvas * 2 + alpha
    webp = b"RIFF" + struct.pack("<I", len(body)) + body
    bmp = b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0) + bytes(20)
    tiff = io.BytesIO()
    Image.new("L", (8, 8)).save(tiff, "TIFF", tiffinfo={339: 1})
    huge = tiff.getvalue()
    for tag in (256, 257):  # ImageWidth, ImageLength as one 32-bit number
        at = huge.index(struct.pack("<HHI", tag, 4, 1))
        huge = huge[: at + 8] + struct.pack("<I", 60_000) + huge[at + 12 :]

    with memory_limit(512 * 2**20):
        for data in (webp, bmp, huge, png_header(60_000, 60_000)):
            assert refused(data) == "too_many_pixels"


@contextmanager
def memory_limit(extra: int) -> Iterator[None]:
    """Let the process's address space grow by so many bytes at most."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_bomb_is_refused_by_its_header() -> None:
    assert refused(png_header(20_000, 20_000)) == "too_many_pixels"
    assert refused(encoded(texture(1, 64, 64)), max_pixels=64 * 64 - 1) == "too_many_pixels"


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(np.full((64, 64, 3), 90, np.uint8), progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + b"\xff\xd9"


def test_passes_without_end_are_refused_before_they_are_made() -> None:
    assert decode(with_scans(MAX_SCANS)).shape == (64, 64, 3)
    assert refused(with_scans(MAX_SCANS + 1)) == "too_many_scans"
    assert refused(with_scans(20_000)) == "too_many_scans"


def test_only_the_scans_of_the_picture_itself_count() -> None:
    video = b"\xff\xda\x00\x08" * 500  # what a phone puts behind a picture
    data = encoded(texture(1, 32, 32))
    assert decode(data + video).shape == (32, 32, 3)
    comment = encoded(texture(1, 32, 32), comment=b"\xff\xda" * 500)
    assert decode(comment).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC, a phone's format: convert it to JPEG"),
        (b"\0\0\0\x20ftypisom", "a video"),
        (b"GIF89a\x01\0", "a GIF: convert it to PNG"),
        (b"<!DOCTYPE html><p>404", "a web page"),
        (b"nothing known", "it starts with 6e 6f 74 68 69 6e 67 20"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(data: bytes, what: str) -> None:
    with pytest.raises(ImageError, match=what) as found:
        open_image(data)
    assert found.value.reason == "not_an_image"

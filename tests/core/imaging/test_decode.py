from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded, texture

from boatseg_core.errors import ImageError
from boatseg_core.imaging.decode import REASONS, decode


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


def test_a_bomb_is_refused_by_its_header() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))

    assert refused(bomb) == "too_many_pixels"
    assert refused(encoded(texture(1, 64, 64)), max_pixels=64 * 64 - 1) == "too_many_pixels"

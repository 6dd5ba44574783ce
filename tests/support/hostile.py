"""Pictures that are rare, odd or meant to do harm, each with what has to become of it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from support.pictures import encoded, texture


def giant_png(side: int = 20_000) -> bytes:
    """A black-and-white PNG of side x side pixels in some tens of kilobytes."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">L", len(body)) + checked + struct.pack(">L", zlib.crc32(checked))

    header = struct.pack(">2L5B", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def zoo() -> dict[str, tuple[bytes, str]]:
    """Files by name: their bytes, and the mode they are taken with or the reason they are not."""
    rgb = Image.fromarray(texture(1, 96, 128))
    grey = rgb.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    jpeg = encoded(noise)
    transparent = rgb.copy()
    transparent.putalpha(128)
    return {
        "16-bit.png": (saved(deep, "PNG"), "I;16"),
        "16-bit.tif": (saved(deep, "TIFF"), "I;16"),
        "cmyk.jpg": (saved(rgb.convert("CMYK"), "JPEG"), "CMYK"),
        "palette.png": (saved(rgb.convert("P"), "PNG"), "P"),
        "grey-alpha.png": (saved(grey.convert("LA"), "PNG"), "LA"),
        "grey.jpg": (saved(grey, "JPEG"), "L"),
        "bits.png": (saved(rgb.convert("1"), "PNG"), "1"),
        "alpha.webp": (saved(transparent, "WEBP", lossless=True), "RGBA"),
        "rotated.jpg": (saved(rgb, "JPEG", exif=rotated), "RGB"),
        "lzw.tif": (saved(rgb, "TIFF", compression="tiff_lzw"), "RGB"),
        "png.jpg": (saved(rgb, "PNG"), "RGB"),
        "giant.png": (giant_png(), "too_many_pixels"),
        "eps.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not_an_image"),
        "gif.jpg": (saved(rgb, "GIF"), "not_an_image"),
        "html.jpg": (b"<!doctype html><title>404</title>", "not_an_image"),
        "empty.jpg": (b"", "empty"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        f"{'n' * 251}.jpg": (saved(rgb, "JPEG"), "RGB"),
    }

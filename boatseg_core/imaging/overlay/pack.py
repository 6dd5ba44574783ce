"""Pictures as bytes of bounded size: JPEG, PNG, ``data:`` URIs, Markdown."""

from __future__ import annotations

import base64
import io
import math
import re

from PIL import Image

from boatseg_core.imaging.overlay.paint import Pixels
from boatseg_core.imaging.overlay.shrink import shrink
from boatseg_core.imaging.rle import BoolMask

_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]+")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")


def to_jpeg(image: Pixels, *, quality: int = 85, max_bytes: int | None = None) -> bytes:
    """Encode a picture as JPEG.

    Args:
        image: uint8 ``[H, W, 3]``.
        quality: Pillow's quality, 1 to 95.
        max_bytes: Upper bound: quality falls to 50, then the size, until the file fits.

    Raises:
        ValueError: Not even a picture of 16 pixels fits.
    """
    while True:
        data = _save(image, "JPEG", quality=quality, optimize=True)
        if max_bytes is None or len(data) <= max_bytes:
            return data
        if quality > 50:
            quality = max(50, quality - 10)
        else:
            image = _halve(image, len(data), max_bytes)


def to_png(image: Pixels | BoolMask, *, max_bytes: int | None = None) -> bytes:
    """Encode a picture or a mask as PNG.

    Args:
        image: uint8 ``[H, W, 3]``, or bool ``[H, W]`` (white on black, one bit a pixel).
        max_bytes: Upper bound: the picture is made smaller until the file fits.

    Raises:
        ValueError: Not even a picture of 16 pixels fits.
    """
    while True:
        data = _save(image, "PNG", optimize=True)
        if max_bytes is None or len(data) <= max_bytes:
            return data
        image = _halve(image, len(data), max_bytes)


def _save(image: Pixels | BoolMask, format_name: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format_name, **options)
    return buffer.getvalue()


def _halve(image: Pixels | BoolMask, have: int, want: int) -> Pixels:
    longest = max(image.shape[:2])
    if longest <= 16:
        raise ValueError(f"no picture fits into {want} bytes")
    # Bytes go with the area; a little extra so that one or two rounds are enough.
    size = max(16, min(longest - 1, int(longest * math.sqrt(want / have) * 0.97)))
    return shrink(Image.fromarray(image).convert("RGB"), size)


def data_uri(data: bytes, media_type: str) -> str:
    """Wrap bytes as a ``data:`` URI, for pages and Markdown without further files.

    Args:
        data: The file's bytes.
        media_type: For example ``image/jpeg``.
    """
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def jpeg_uri(image: Pixels, *, quality: int = 85, max_bytes: int = 150_000) -> str:
    """Encode a picture as a JPEG ``data:`` URI of bounded length.

    Args:
        image: uint8 ``[H, W, 3]``.
        quality: Pillow's quality, 1 to 95; lowered where the bound asks for it.
        max_bytes: Most characters of the URI.
    """
    room = (max_bytes - len("data:image/jpeg;base64,")) // 4 * 3
    return data_uri(to_jpeg(image, quality=quality, max_bytes=room), "image/jpeg")


def markdown_image(uri: str, alt: str, *, max_bytes: int = 150_000) -> str:
    """Write a picture as Markdown, for metadata that is shown in a browser.

    Args:
        uri: ``data:`` URI of the picture, as :func:`jpeg_uri` makes it.
        alt: What is to be seen, for those who cannot; any text, it is escaped.
        max_bytes: Longest URI taken: metadata is stored in a database row.

    Raises:
        ValueError: The URI is longer than ``max_bytes`` or not a ``data:`` URI.
    """
    if len(uri) > max_bytes:
        raise ValueError(f"a picture of {len(uri)} characters is over the bound of {max_bytes}")
    if not _DATA_URI.fullmatch(uri):
        raise ValueError(f"{uri[:40]!r} is not the data URI of a picture")
    escaped = _MARKDOWN.sub(r"\\\1", " ".join(alt.split()))
    return f"![{escaped}]({uri})"

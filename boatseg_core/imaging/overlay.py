"""Draw masks over images, and pack the result small: thumbnails, contact sheets, data URIs.

Three colours carry one meaning everywhere. A pixel that only the truth claims was *missed*, one
that only the prediction claims is *false*, one that both claim is *agreement*; a truth mask on its
own takes the colour of missed and a prediction on its own that of false, so that there are three
colours to learn and no more. They stay apart for all three kinds of colour blindness and from
dark, turquoise and silver water; ``tests/core/imaging/test_overlay.py`` simulates both.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from boatseg_core.imaging.decode import load_rgb, open_image
from boatseg_core.imaging.rle import BoolMask

Pixels: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

AGREEMENT: Colour = (255, 225, 60)
TRUTH: Colour = (240, 70, 30)
PREDICTION: Colour = (190, 90, 255)

ALPHA = 0.45
# A share of the mask pixel that has to survive when a mask is made smaller: low enough that a
# boat of two thumbnail pixels is still there, high enough that touching boats stay apart.
_KEEP = 0.3
_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]+")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")


def contour(mask: BoolMask, thickness: int = 1) -> BoolMask:
    """Find the pixels of a mask that lie within ``thickness`` of its edge.

    Args:
        mask: bool ``[H, W]``.
        thickness: In pixels, inwards; 0 gives an empty contour.

    Returns:
        bool ``[H, W]``, a subset of ``mask``. The image's border is not an edge: a boat cut by
        it stays open there.
    """
    inner = mask
    for _ in range(thickness):
        padded = np.pad(inner, 1, mode="edge")
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def draw_overlay(
    image: Pixels,
    mask: BoolMask,
    *,
    colour: Colour = TRUTH,
    alpha: float = ALPHA,
    outline: int | None = None,
) -> Pixels:
    """Tint the pixels of a mask and draw its outline.

    Args:
        image: uint8 ``[H, W, 3]``; not changed.
        mask: bool ``[H, W]``.
        colour: Red, green and blue of the tint.
        alpha: Opacity of the tint, 0 to 1; the outline is always opaque.
        outline: Thickness of the outline in pixels; by default one per 384 pixels of the image.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: The mask has another size than the image.
    """
    return _paint(image, [(mask, colour)], alpha, outline)


def draw_comparison(
    image: Pixels,
    truth: BoolMask,
    prediction: BoolMask,
    *,
    alpha: float = ALPHA,
    outline: int | None = None,
) -> Pixels:
    """Draw truth and prediction at once, in the colours of agreement, missed and false.

    Args:
        image: uint8 ``[H, W, 3]``; not changed.
        truth: bool ``[H, W]``.
        prediction: bool ``[H, W]``.
        alpha: Opacity of the tint, 0 to 1; the outlines are always opaque.
        outline: Thickness of the outlines in pixels; by default one per 384 pixels of the image.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: A mask has another size than the image.
    """
    layers = [
        (truth & prediction, AGREEMENT),
        (truth & ~prediction, TRUTH),
        (prediction & ~truth, PREDICTION),
    ]
    return _paint(image, layers, alpha, outline)


def _paint(
    image: Pixels, layers: Sequence[tuple[BoolMask, Colour]], alpha: float, outline: int | None
) -> Pixels:
    height, width = image.shape[:2]
    thickness = max(1, round(max(height, width) / 384)) if outline is None else outline
    out = image.copy()
    for mask, colour in layers:
        if mask.shape != (height, width):
            raise ValueError(
                f"the mask is {mask.shape[1]}x{mask.shape[0]} pixels, the image {width}x{height}"
            )
        ink = np.array(colour, dtype=np.float32)
        out[mask] = (out[mask] * (1 - alpha) + ink * alpha).round().astype(np.uint8)
        out[contour(mask, thickness)] = colour
    return out


def thumbnail(image: bytes | Pixels, size: int = 256) -> Pixels:
    """Make a picture small.

    JPEG bytes are decoded at a fraction of their size, several times faster than in full.

    Args:
        image: An image file's bytes, or uint8 ``[H, W, 3]``.
        size: Longer side of the result in pixels; a smaller picture is returned as it is.

    Returns:
        uint8 ``[h, w, 3]``, aspect ratio kept, EXIF orientation applied.

    Raises:
        ImageError: The bytes are not an image that can be read.
    """
    if isinstance(image, np.ndarray):
        return _shrink(Image.fromarray(image), size)
    with open_image(image) as picture:
        picture.draft("RGB", (size, size))  # only JPEG heeds it
        return _shrink(load_rgb(picture), size)


def _shrink(picture: Image.Image, size: int) -> Pixels:
    width, height = picture.size
    scale = size / max(width, height)
    if scale < 1:
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = picture.resize(small, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.array(picture, dtype=np.uint8)


def shrink_mask(mask: BoolMask, height: int, width: int) -> BoolMask:
    """Bring a mask to the size of a thumbnail without losing small objects.

    Args:
        mask: bool ``[H, W]``.
        height: Rows of the result, in pixels.
        width: Columns of the result, in pixels.

    Returns:
        bool ``[height, width]``: where at least 30 % of the area is covered.
    """
    if mask.shape == (height, width):
        return mask
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(grey.resize((width, height), Image.Resampling.BOX)) >= 255 * _KEEP


def contact_sheet(
    images: Sequence[Pixels],
    *,
    columns: int = 4,
    captions: Sequence[str] | None = None,
    size: int = 256,
    gap: int = 8,
    background: Colour = (24, 28, 34),
    ink: Colour = (222, 228, 234),
) -> Pixels:
    """Lay pictures out on a grid.

    Args:
        images: Each uint8 ``[H, W, 3]``, of any size.
        columns: Pictures in one row.
        captions: A line below each picture; cut where it is longer than the picture is wide.
        size: Side of a picture's cell in pixels.
        gap: Space around pictures in pixels.
        background: Colour between the pictures.
        ink: Colour of the captions.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: There is no picture, or not one caption a picture.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one picture")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} pictures")
    font = ImageFont.load_default(max(10, size // 18))
    line = round(font.size * 1.5) if captions and isinstance(font, ImageFont.FreeTypeFont) else 0
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    sheet = Image.new(
        "RGB",
        (columns * (size + gap) + gap, rows * (size + line + gap) + gap),
        background,
    )
    pen = ImageDraw.Draw(sheet)
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        left, top = gap + column * (size + gap), gap + row * (size + line + gap)
        small = Image.fromarray(thumbnail(image, size))
        sheet.paste(small, (left + (size - small.width) // 2, top + (size - small.height) // 2))
        if captions and line:
            text = " ".join(captions[position].split())
            while text and pen.textlength(text, font) > size:
                text = text.removesuffix("…")[:-1] + "…" if len(text) > 1 else ""
            pen.text((left, top + size + line // 8), text, fill=ink, font=font)
    return np.array(sheet, dtype=np.uint8)


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
    return _shrink(Image.fromarray(image).convert("RGB"), size)


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

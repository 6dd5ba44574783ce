"""Many pictures on one: a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from boatseg_core.imaging.overlay.paint import Colour, Pixels
from boatseg_core.imaging.overlay.shrink import thumbnail


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

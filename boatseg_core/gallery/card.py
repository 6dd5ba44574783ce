"""One picture of the gallery, from its bytes and masks to HTML."""

from __future__ import annotations

import datetime
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from boatseg_core.errors import ImageError
from boatseg_core.imaging.overlay import (
    AGREEMENT,
    PREDICTION,
    TRUTH,
    Pixels,
    contour,
    data_uri,
    shrink_mask,
    thumbnail,
    to_jpeg,
)
from boatseg_core.imaging.rle import BoolMask

# Opacity of the tint inside an outline; the page's slider scales tint and outline together.
_TINT = 165
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Card:
    """One picture with what is known about it.

    Attributes:
        image_id: The picture's name; may hold anything, it is escaped.
        image: An image file's bytes, or uint8 ``[H, W, 3]``.
        truth: Labelled mask, bool ``[H, W]`` in the picture's own size; ``None`` if unlabelled.
        prediction: Predicted mask, bool ``[H, W]``; ``None`` if not scored.
        fields: What is printed below the picture, and can be sorted and filtered by.
    """

    image_id: str
    image: bytes | Pixels
    truth: BoolMask | None = None
    prediction: BoolMask | None = None
    fields: Mapping[str, object] = field(default_factory=dict)


def card_html(card: Card, *, size: int, badge: str = "") -> str:
    """Write one card as a list item.

    A picture that cannot be decoded becomes a card that says so: one bad file never costs the
    page.

    Args:
        card: The picture.
        size: Longer side of the embedded picture, in pixels.
        badge: Short remark beside the name.
    """
    name = escape(card.image_id)
    try:
        small = thumbnail(card.image, size)
    except ImageError as error:
        stack = f'<span class="broken">{escape(str(error))}</span>'
    else:
        stack = _img(data_uri(to_jpeg(small, quality=80), "image/jpeg"), "photo", small, name)
        stack += "".join(
            _img(data_uri(png, "image/png"), f"layer {kinds}", small, "")
            for kinds, png in mask_layers(small.shape[0], small.shape[1], card)
        )
    remark = f'<span class="badge">{escape(badge)}</span>' if badge else ""
    return (
        f'<li class="card" data-id="{name}">'
        f'<button type="button" class="open"><span class="stack">{stack}</span></button>'
        f'<div class="about"><div class="name"><b title="{name}">{name}</b>{remark}</div>'
        f'<dl class="fields">{"".join(map(_field, card.fields.items()))}</dl></div></li>'
    )


def mask_layers(height: int, width: int, card: Card) -> list[tuple[str, bytes]]:
    """Draw a card's masks as transparent pictures that a page can switch on and off.

    Args:
        height: Rows of the embedded picture, in pixels.
        width: Columns of the embedded picture, in pixels.
        card: The masks are brought to that size.

    Returns:
        For each layer the views it belongs to (CSS classes out of ``truth``, ``prediction`` and
        ``compare``) and a palette PNG; an empty mask has no layer.
    """
    truth, prediction = (
        None if mask is None else shrink_mask(mask, height, width)
        for mask in (card.truth, card.prediction)
    )
    drawn = {
        kind: mask
        for kind, mask in (("truth", truth), ("prediction", prediction))
        if mask is not None and mask.any()
    }
    inks = {"truth": TRUTH, "prediction": PREDICTION}
    if len(drawn) < 2:  # nothing to compare with: the one mask serves both views
        return [
            (f"{kind} compare", _palette_png([mask], [inks[kind]])) for kind, mask in drawn.items()
        ]
    layers = [(kind, _palette_png([mask], [inks[kind]])) for kind, mask in drawn.items()]
    a, b = drawn["truth"], drawn["prediction"]
    layers.append(
        ("compare", _palette_png([a & b, a & ~b, b & ~a], [AGREEMENT, TRUTH, PREDICTION]))
    )
    return layers


def _palette_png(masks: Sequence[BoolMask], colours: Sequence[tuple[int, int, int]]) -> bytes:
    """Encode disjoint masks: two palette entries each (tint, outline) after the transparent one."""
    index = np.zeros(masks[0].shape, dtype=np.uint8)
    palette, opacity = [0, 0, 0], [0]
    for position, (mask, colour) in enumerate(zip(masks, colours, strict=True)):
        index[mask] = 2 * position + 1
        index[contour(mask, max(1, round(max(mask.shape) / 384)))] = 2 * position + 2
        palette += [*colour, *colour]
        opacity += [_TINT, 255]
    picture = Image.fromarray(index, mode="P")
    picture.putpalette(palette)
    buffer = io.BytesIO()
    bits = 2 if len(masks) == 1 else 4
    picture.save(buffer, "PNG", bits=bits, transparency=bytes(opacity), optimize=True)
    return buffer.getvalue()


def _img(uri: str, kind: str, small: Pixels, alt: str) -> str:
    height, width = small.shape[:2]
    return f'<img class="{kind}" src="{uri}" width="{width}" height="{height}" alt="{alt}">'


def _field(item: tuple[str, object]) -> str:
    key, value = item
    text = say(value)
    shown = escape(text)
    return f'<div><dt>{escape(label(key))}</dt><dd title="{shown}">{shown}</dd></div>'


def label(key: str) -> str:
    """Turn a column's name into words."""
    return key.replace("_", " ").strip()


def say(value: object) -> str:
    """Print a value the way a person reads it."""
    match value:
        case None:
            return "–"
        case bool() | np.bool_():
            return "yes" if value else "no"
        case int() | np.integer():
            return f"{int(value):,}" if abs(int(value)) >= 10_000 else str(int(value))
        case float() | np.floating():
            return _number(float(value))
        case datetime.datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return ", ".join(map(say, value)) or "–"
        case _:
            return str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "–" if math.isnan(value) else str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return (
        f"{value:.3f}".rstrip("0").rstrip(".")
        if value == 0 or abs(value) >= 5e-4
        else f"{value:.1e}"
    )


def escape(text: str) -> str:
    """Escape any text for HTML, in elements and in quoted attributes.

    Control characters and lone surrogates (file names are bytes) become replacement characters.
    """
    clean = _CONTROL.sub("\ufffd", text).encode("utf-8", "replace").decode("utf-8")
    return html.escape(clean, quote=True)

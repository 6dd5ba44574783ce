"""A gallery as one HTML file: it fetches nothing and opens anywhere.

The pictures are embedded as small JPEGs and the masks as palette PNGs above them, so that the
browser can switch between truth, prediction and their comparison. Every text that came from a
file is escaped, and a content security policy with the hashes of the page's own style and script
keeps anything else from running should an escape ever be missed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from boatseg_core.errors import InputError
from boatseg_core.gallery.card import Card, card_html, escape, label, say
from boatseg_core.imaging.overlay import AGREEMENT, PREDICTION, TRUTH, Colour

MAX_BYTES = 20_000_000
SIZES = (768, 512, 384, 288, 224)
"""Longer sides of the embedded pictures, in pixels; the largest with which all fit is taken."""

_PROBES = 6
_FRAME_BYTES = 40_000  # style, script and what surrounds the cards
_CHOICES = 12


@dataclass
class _Body:
    """What the cards leave behind once their pixels are drawn."""

    items: list[str] = field(default_factory=list)
    rows: list[Mapping[str, object]] = field(default_factory=list)
    left_out: int = 0
    truth: bool = False
    prediction: bool = False
    unlabelled: bool = False


def render_page(
    title: str,
    cards: Iterable[Card],
    *,
    summary: Mapping[str, object] | None = None,
    class_name: str = "boat",
    count: int | None = None,
    size: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> str:
    """Render a gallery.

    Args:
        title: Heading of the page.
        cards: The pictures, in order; read one at a time.
        summary: Figures shown above the pictures, by name.
        class_name: What one object is called.
        count: How many cards there will be, where they have no length.
        size: Longer side of the embedded pictures in pixels; by default the largest of
            :data:`SIZES` with which all of them fit.
        max_bytes: Bound of the page. Cards beyond it are left out, and the page says how many.

    Returns:
        The page's HTML.
    """
    if count is None and isinstance(cards, Sequence):
        count = len(cards)
    room = max_bytes - _FRAME_BYTES
    stream = iter(cards)
    if size is None:
        probes = list(islice(stream, _PROBES))
        size = _fitting_size(probes, max(count or 0, len(probes)), room)
        stream = chain(probes, stream)
    body = _draw(stream, count, size, room)
    modes = _modes(body)
    columns = _columns(body.rows)
    data = {
        "columns": columns,
        "rows": [[_datum(row.get(c["key"])) for c in columns] for row in body.rows],
    }
    style = _fill(
        _asset("page.css"),
        agreement=_hex(AGREEMENT),
        truth=_hex(TRUTH),
        prediction=_hex(PREDICTION),
    )
    script = _asset("page.js")
    return _fill(
        _asset("page.html"),
        title=escape(title),
        mode=next(reversed(modes)),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        summary=_summary(summary or {}),
        note=_note(body, max_bytes),
        modes=_mode_inputs(modes),
        legend=_legend(modes, class_name, unlabelled=body.unlabelled),
        cards="\n".join(body.items),
        empty=" data-empty" if not body.items else "",
        data=_json(data),
    )


def write_page(
    path: Path,
    title: str,
    cards: Iterable[Card],
    *,
    summary: Mapping[str, object] | None = None,
    class_name: str = "boat",
    count: int | None = None,
    size: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Render a gallery into a file; an older page stays until the new one is complete.

    Args:
        path: The HTML file; its folder is created.
        title: See :func:`render_page`, as for all that follows.
        cards: The pictures.
        summary: Figures shown above them.
        class_name: What one object is called.
        count: How many cards there will be.
        size: Longer side of the embedded pictures in pixels.
        max_bytes: Bound of the page.

    Returns:
        The file's absolute path.

    Raises:
        InputError: The file cannot be written.
    """
    page = render_page(
        title,
        cards,
        summary=summary,
        class_name=class_name,
        count=count,
        size=size,
        max_bytes=max_bytes,
    )
    return save_page(path, page)


def save_page(path: Path, page: str) -> Path:
    """Write a page so that a reader sees all of it or none of it.

    Returns:
        The file's absolute path.

    Raises:
        InputError: The file cannot be written.
    """
    path = path.absolute()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_text(page, encoding="utf-8")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"the gallery cannot be written to {path}: {error.strerror or error}; "
            "choose another file"
        ) from error
    return path


def _draw(cards: Iterable[Card], count: int | None, size: int, room: int) -> _Body:
    body = _Body()
    used = 0
    for card in cards:
        unlabelled = card.truth is None and card.prediction is not None
        item = card_html(card, size=size, badge="not labelled" if unlabelled else "")
        # The values are there a second time for sorting; JSON writes other scripts as \uXXXX.
        used += len(item.encode()) + sum(6 * len(say(value)) + 4 for value in card.fields.values())
        if used > room:
            break
        body.items.append(item)
        body.rows.append(card.fields)
        body.truth |= card.truth is not None
        body.unlabelled |= unlabelled
        body.prediction |= card.prediction is not None
    else:
        return body
    rest = sum(1 for _ in cards) + 1 if count is None else count - len(body.items)
    body.left_out = max(1, rest)
    return body


def _fitting_size(probes: Sequence[Card], count: int, room: int) -> int:
    for size in SIZES:
        each = sum(len(card_html(card, size=size)) for card in probes) / max(1, len(probes))
        # Pictures differ: 1.15 for a first few that are plainer than the rest.
        if each * count * 1.15 <= room:
            return size
    return SIZES[-1]


def _modes(body: _Body) -> dict[str, str]:
    modes = {"none": "Picture"}
    if body.truth:
        modes["truth"] = "Truth"
    if body.prediction:
        modes["prediction"] = "Prediction"
    if body.truth and body.prediction:
        modes["compare"] = "Compare"
    return modes


def _mode_inputs(modes: Mapping[str, str]) -> str:
    return "\n".join(
        f'<label><input type="radio" name="mode" value="{mode}" data-label="{name}">'
        f"<span>{name}</span></label>"
        for mode, name in modes.items()
    )


def _legend(modes: Mapping[str, str], class_name: str, *, unlabelled: bool) -> str:
    name = escape(class_name)
    # Where nobody labelled, a prediction is neither right nor wrong.
    alone = "false alarm, or not labelled" if unlabelled else "false alarm"
    entries = {
        "agreement": f"{name}, found",
        "truth": f'<span class="both">{name}, missed</span>'
        f'<span class="solo">{name}, labelled</span>',
        "prediction": f'<span class="both">{alone}</span>'
        f'<span class="solo">{name}, predicted</span>',
    }
    wanted = [k for k in entries if k in modes or (k == "agreement" and "compare" in modes)]
    items = "".join(f'<li class="{k}"><i></i><span>{entries[k]}</span></li>' for k in wanted)
    return f'<ul class="legend" aria-label="Colours">{items}</ul>'


def _summary(figures: Mapping[str, object]) -> str:
    if not figures:
        return ""
    cells = "".join(
        f"<div><dt>{escape(label(name))}</dt><dd>{escape(say(value))}</dd></div>"
        for name, value in figures.items()
    )
    return f'<dl class="summary">{cells}</dl>'


def _note(body: _Body, max_bytes: int) -> str:
    if body.left_out:
        text = (
            f"{body.left_out:,} of {body.left_out + len(body.items):,} pictures were left out to "
            f"keep this page under {max_bytes / 1e6:g} MB. Ask for fewer to see them all."
        )
    elif not body.items:
        text = (
            "There are no pictures to show: no row was selected. Loosen the WHERE of the query, or "
            "see with <code>boatseg tables</code> which tables have rows."
        )
    else:
        return ""
    return f'<p class="note" role="note">{text}</p>'


def _columns(rows: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    """Describe the fields for sorting and filtering: numbers, a few choices, or free text."""
    columns = []
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [v for row in rows if (v := _datum(row.get(key))) is not None]
        column: dict[str, Any] = {"key": key, "label": label(key), "kind": "text"}
        distinct = sorted({str(value) for value in values})
        if values and all(isinstance(value, int | float) for value in values):
            column |= {"kind": "number", "low": min(values), "high": max(values)}
        elif len(distinct) <= _CHOICES and len(distinct) < len(rows):
            column |= {"kind": "choice", "choices": distinct}
        columns.append(column)
    return columns


def _datum(value: object) -> int | float | str | None:
    match value:
        case None:
            return None
        case bool() | np.bool_():
            return say(value)
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            return round(float(value), 6) if math.isfinite(value) else None
        case _:
            return say(value)


def _json(data: object) -> str:
    # Inside <script>, only "<" could end the element; the rest is for readers with other rules.
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _fill(template: str, /, **values: str) -> str:
    # One pass: braces inside a value are text, not another placeholder.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)

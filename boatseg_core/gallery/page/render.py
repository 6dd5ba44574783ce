"""The page as a whole: rendered, and saved whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

from boatseg_core.errors import InputError
from boatseg_core.gallery.card import Card, escape
from boatseg_core.gallery.page.body import SIZES, draw_body, fitting_size
from boatseg_core.gallery.page.controls import (
    figures_list,
    legend_list,
    mask_modes,
    mode_inputs,
    note_line,
)
from boatseg_core.gallery.page.template import asset, fill, policy_hash
from boatseg_core.gallery.page.values import sorting_data
from boatseg_core.imaging.overlay import AGREEMENT, PREDICTION, TRUTH, Colour

__all__ = ["MAX_BYTES", "SIZES", "render_page", "save_page", "write_page"]

MAX_BYTES = 20_000_000
_PROBES = 6
_FRAME_BYTES = 40_000  # style, script and what surrounds the cards


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
        size = fitting_size(probes, max(count or 0, len(probes)), room)
        stream = chain(probes, stream)
    body = draw_body(stream, count, size, room)
    modes = mask_modes(body)
    style = fill(
        asset("page.css"),
        agreement=_hex(AGREEMENT),
        truth=_hex(TRUTH),
        prediction=_hex(PREDICTION),
    )
    script = asset("page.js")
    return fill(
        asset("page.html"),
        title=escape(title),
        mode=next(reversed(modes)),
        style=style,
        style_hash=policy_hash(style),
        script=script,
        script_hash=policy_hash(script),
        summary=figures_list(summary or {}),
        note=note_line(body, max_bytes),
        modes=mode_inputs(modes),
        legend=legend_list(modes, class_name, unlabelled=body.unlabelled),
        cards="\n".join(body.items),
        empty=" data-empty" if not body.items else "",
        data=sorting_data(body.rows),
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


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)

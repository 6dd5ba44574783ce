"""A gallery in memory, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from boatseg_core.gallery.card import Card
from boatseg_core.gallery.page import render_page, save_page

_HEIGHT = 720  # px


class Page:
    """A page of pictures that a notebook shows in a frame of its own.

    Attributes:
        html: The whole page: one file that fetches nothing.
        title: Its heading.
    """

    def __init__(self, html: str, title: str) -> None:
        self.html = html
        self.title = title

    @classmethod
    def of(cls, title: str, cards: Iterable[Card], **options: Any) -> Self:
        """Draw a page; see :func:`boatseg_core.gallery.page.render_page`."""
        return cls(render_page(title, cards, **options), title)

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, whole or not at all.

        Returns:
            The file's absolute path.

        Raises:
            InputError: The file cannot be written.
        """
        return save_page(Path(path), self.html)

    def _repr_html_(self) -> str:
        # Whatever encoding the notebook is taken for, the script has to stay the one of its hash.
        page = html.escape(self.html, quote=True).encode("ascii", "xmlcharrefreplace").decode()
        # The sandbox gives the page an origin of its own: it cannot reach into the notebook.
        return (
            f'<iframe title="{html.escape(self.title, quote=True)}" sandbox="allow-scripts" '
            f'style="width:100%;height:{_HEIGHT}px;border:0;border-radius:8px" loading="lazy" '
            f'srcdoc="{page}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Page {self.title!r}, {len(self.html.encode()) / 1e6:.1f} MB>"

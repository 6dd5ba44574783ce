"""Small charts as SVG: a few hundred bytes each, for metadata that is read in a browser.

Unlike :mod:`.plots` nothing is imported for them, so that a check costs no seconds to draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from boatseg_core.imaging.overlay import data_uri, markdown_image

# Okabe and Ito's colours: told apart by every eye; the earlier ones are also the paler ones.
_NOW, _BEFORE, _ALERT = "#0072b2", "#b9c3cc", "#d55e00"
_INK, _SOFT = "#17212b", "#566472"
_WIDTH, _HEIGHT = 420, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 10, 10, 24, 20
_BINS = 48
_MOST_BARS = 8
_FONT = 'font-family="system-ui,sans-serif" font-size="11"'


def distributions(
    now: npt.ArrayLike, before: npt.ArrayLike, *, title: str, low: float, high: float
) -> str:
    """Draw the distribution of a batch over that of the batches before it.

    Args:
        now: Values of the batch.
        before: Values before it, drawn pale; may be empty.
        title: What is measured.
        low: Left end of the axis.
        high: Right end of the axis.

    Returns:
        Markdown with one embedded SVG.
    """
    edges = np.linspace(low, high, _BINS + 1)
    shapes = []
    for values, colour, opacity in ((before, _BEFORE, 0.9), (now, _NOW, 0.65)):
        counts = np.histogram(np.clip(np.ravel(values), low, high), edges)[0].astype(np.float64)
        shapes.append((counts / max(1.0, counts.sum()), colour, opacity))
    peak = max(1e-9, *(float(share.max()) for share, _, _ in shapes))
    body = []
    for share, colour, opacity in shapes:
        points: list[tuple[float, float]] = [(_LEFT, _HEIGHT - _BOTTOM)]
        for i, value in enumerate(share):
            y = _y(value / peak)
            points += [(_x(i / _BINS), y), (_x((i + 1) / _BINS), y)]
        points.append((_WIDTH - _RIGHT, _HEIGHT - _BOTTOM))
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        body.append(f'<polygon points="{path}" fill="{colour}" fill-opacity="{opacity}"/>')
    base = _HEIGHT - _BOTTOM
    body += [
        _text(_LEFT, _HEIGHT - 6, f"{low:g}"),
        _text(_WIDTH - _RIGHT, _HEIGHT - 6, f"{high:g}", anchor="end"),
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}" stroke="{_SOFT}"/>',
    ]
    return _svg(body, _HEIGHT, title, legend=True)


def shares(kinds: Mapping[str, tuple[float, float]], *, title: str) -> str:
    """Draw the share of each kind in a batch over that before it, as bars.

    Args:
        kinds: Share in the batch and before it, 0 to 1; the first kinds are shown.
        title: What the kinds are of.

    Returns:
        Markdown with one embedded SVG.
    """
    row, name = 17, 150
    shown = list(kinds.items())[:_MOST_BARS]
    room = _WIDTH - name - _RIGHT - 46
    body = []
    for i, (kind, (now, before)) in enumerate(shown):
        y = _TOP + 6 + i * row
        label = kind if len(kind) <= 22 else f"{kind[:21]}…"
        body += [
            _text(name - 6, y + 10, label, anchor="end"),
            _bar(name, y, before * room, 13, _BEFORE),
            _bar(name, y + 3, now * room, 7, _NOW),
            _text(name + max(now, before) * room + 4, y + 10, f"{now:.0%}"),
        ]
    height = _TOP + 12 + len(shown) * row
    return _svg(body, height, title, legend=True)


def history(values: Sequence[float], *, title: str, limits: Sequence[float]) -> str:
    """Draw shares of batches one after the other; the last is the one in question.

    Args:
        values: Shares, 0 to 1, oldest first.
        title: What they are shares of.
        limits: Levels drawn as lines.

    Returns:
        Markdown with one embedded SVG.
    """
    top = max(0.05, *values, *(limit for limit in limits if limit < 1)) * 1.1
    step = 1 / max(1, len(values))
    body = []
    for i, value in enumerate(values):
        last = i == len(values) - 1
        colour = _BEFORE if not last else _ALERT if value > min(limits, default=1.0) else _NOW
        y = _y(value / top)
        body.append(
            _bar(_x((i + 0.1) * step), y, 0.8 * step * _span(), _HEIGHT - _BOTTOM - y, colour)
        )
        if last:
            body.append(_text(_WIDTH - _RIGHT, max(y - 3, _TOP - 4), f"{value:.1%}", anchor="end"))
    for limit in limits:
        if limit < top:
            y = _y(limit / top)
            body.append(
                f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:g}" y2="{y:g}" '
                f'stroke="{_ALERT}" stroke-dasharray="4 3"/>' + _text(_LEFT, y - 2, f"{limit:.0%}")
            )
    body.append(_text(_LEFT, _HEIGHT - 6, f"{len(values)} batches, oldest first"))
    return _svg(body, _HEIGHT, title, legend=False)


def _span() -> int:
    return _WIDTH - _LEFT - _RIGHT


def _x(share: float) -> float:
    return _LEFT + share * _span()


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}" fill="{colour}"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = _SOFT) -> str:
    return (
        f'<text x="{x:.4g}" y="{y:.4g}" text-anchor="{anchor}" fill="{fill}" {_FONT}>'
        f"{escape(text)}</text>"
    )


def _svg(body: Sequence[str], height: int, title: str, *, legend: bool) -> str:
    parts = [_text(_LEFT, 15, title, fill=_INK)]
    if legend:
        parts += [
            _bar(_WIDTH - 150, 7, 9, 9, _NOW),
            _text(_WIDTH - 138, 15, "batch"),
            _bar(_WIDTH - 92, 7, 9, 9, _BEFORE),
            _text(_WIDTH - 80, 15, "before"),
        ]
    # The ground is painted: the page behind it may be light or dark.
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}{''.join(body)}</svg>"
    )
    return markdown_image(data_uri(svg.encode(), "image/svg+xml"), title)

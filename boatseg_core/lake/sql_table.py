"""Print the result of a query in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from rich.markup import escape
from rich.table import Table

_UNITS = ("B", "kB", "MB", "GB")


def render_table(frame: pl.DataFrame, *, max_rows: int = 100, width: int = 60) -> Table:
    """Lay a result out for the terminal.

    Args:
        frame: The result.
        max_rows: Further rows are only counted, in the caption.
        width: Most characters of one cell.

    Returns:
        A table for rich to print. Bytes appear as ``<131 kB>`` and control characters as text, so
        that nothing in a file can steer the terminal.
    """
    hidden = frame.height - max_rows
    rows = f"{frame.height:,} row{'' if frame.height == 1 else 's'}"
    table = Table(
        caption=f"{rows}, the first {max_rows:,} shown" if hidden > 0 else rows,
        caption_justify="left",
        header_style="bold",
    )
    for name, kind in frame.schema.items():
        table.add_column(
            escape(_clean(name)),
            justify="right" if kind.is_numeric() else "left",
            overflow="fold",
        )
    for row in frame.head(max_rows).iter_rows():
        table.add_row(*(escape(cell(value, width)) for value in row))
    return table


def cell(value: object, width: int = 60) -> str:
    """Print one value in at most ``width`` characters."""
    match value:
        case None:
            text = "–"
        case bytes():
            return f"<{size(len(value))}>"
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.6g}"
        case str() if "\n" in value:
            # A query plan: a drawing that has to keep its lines.
            return "\n".join(_clean(line) for line in value.splitlines())
        case list() | tuple():
            text = _sequence(value, width)
        case _:
            text = str(value)
    text = _clean(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def size(count: int) -> str:
    """Print an amount of bytes with three digits: ``131 kB``."""
    amount, unit = float(count), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {_UNITS[unit]}"


def _sequence(values: Sequence[object], width: int) -> str:
    parts: list[str] = []
    for value in values:
        if sum(map(len, parts)) > width:  # long lists are cut anyway
            break
        parts.append(cell(value, width))
    return f"[{', '.join(parts)}]"


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)

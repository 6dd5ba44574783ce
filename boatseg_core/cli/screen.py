"""What people see: consoles, tables and the way figures are written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

UNBOUNDED = 100_000
"""Columns enough that nothing is ever wrapped or cut for a program that reads us."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would exit with 1; how a closed pipe ends is decided in one place.
        raise BrokenPipeError


def out() -> Console:
    """Console for results: as wide as the terminal, unbounded for a pipe or a file."""
    bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
    return _Console(highlight=False, width=None if bounded else UNBOUNDED)


def err() -> Console:
    """Console for progress, notes and errors."""
    return _Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """Print a line of text, taken literally."""
    out().print(Text(clean(text), style), soft_wrap=True)


def note(text: str) -> None:
    """Print a remark that is not part of the result."""
    err().print(Text(clean(text), "dim"), soft_wrap=True)


def clean(text: str) -> str:
    r"""Show control characters as escapes: a file name must not command the terminal.

    >>> clean("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    right: Sequence[str] = (),
    fold: Sequence[str] = (),
) -> None:
    """Print a table.

    Args:
        headings: Name of each column.
        rows: Cells; ``None`` is shown as a dash, a rich ``Text`` as it is.
        title: Line above the table.
        right: Headings of the columns of figures.
        fold: Headings of the columns that may be broken over lines where the terminal is narrow;
            the others keep their width as long as they can.
    """
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        title=title or None,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        show_edge=False,
    )
    for heading in headings:
        table.add_column(
            heading,
            justify="right" if heading in right else "left",
            overflow="fold",
            no_wrap=bool(fold) and heading not in fold,
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
    out().print(table)


def shown(value: object) -> str:
    """Write a cell."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return clean(str(value))


def size(count: float) -> str:
    """Write a number of bytes.

    >>> size(1_234_567)
    '1.2 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun.

    >>> counted(1, "image"), counted(2000, "batch", "batches")
    ('1 image', '2,000 batches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(counts: dict[str, int]) -> str:
    """Write counts by name, the largest first: ``3 truncated, 1 empty``."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {name}" for name, number in ordered)


def progress(*columns: ProgressColumn, percent: bool = False) -> Progress:
    """Progress on stderr, gone when it ends; silent where stderr is not a terminal.

    Args:
        *columns: What stands behind the bar; by default numbers and the time left.
        percent: By default percent and the time left.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = err()
    usual = (TaskProgressColumn() if percent else MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *(columns or usual),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def say_pair(name: str, text: str, style: str = "") -> None:
    """Print a name and what belongs to it; the text is folded under itself."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold", style=style)
    grid.add_row(Text(name), Text(clean(text)))
    out().print(grid)

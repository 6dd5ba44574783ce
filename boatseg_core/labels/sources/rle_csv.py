"""Read run-length label files: CSV with an image column and a mask column, one row an object."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from boatseg_core.errors import InputError
from boatseg_core.labels.sources.base import Annotation, Item, Problem

DELIMITERS = ",;\t|"
"""Delimiters looked for, in this order, in the header line."""

# Bounds memory where a quote is never closed: the rest of the file would be read as one cell.
MAX_CELL = 64 * 2**20

_JOINT = " | "  # no number, and no blank alone: a tab would join two halves to run lengths


@dataclass(frozen=True)
class RleCsv:
    """A run-length CSV as a label source.

    Attributes:
        path: The file.
        image_column: Header of the column with the image's name.
        mask_column: Header of the column with the run lengths.
    """

    path: Path
    image_column: str
    mask_column: str
    kind: Literal["csv"] = "csv"

    def check(self) -> None:
        """Look at the header.

        Raises:
            InputError: See :func:`read_rows`.
        """
        next(self.rows(), None)

    def rows(self) -> Iterator[Item]:
        """Stream the rows; see :func:`read_rows`."""
        return read_rows(self.path, image_column=self.image_column, mask_column=self.mask_column)


def read_rows(path: Path, *, image_column: str, mask_column: str) -> Iterator[Item]:
    """Stream the rows of a label file; memory is bounded by the longest cell.

    Byte order marks (UTF-8 and UTF-16), any line ending, quotes, the delimiters of
    :data:`DELIMITERS`, further columns and blank lines are accepted.

    Args:
        path: The file.
        image_column: Header of the column with the image's name.
        mask_column: Header of the column with the run lengths.

    Returns:
        The rows; where a row ends before the mask column, its ``text`` is ``None``. Names and cells
        are without surrounding blanks. A row of more cells than the header has, say of run lengths
        that were separated by the delimiter, has them all in its ``text``, where no reader of run
        lengths takes them for any. A row that names no image is followed by a problem.

    Raises:
        InputError: The file is missing, empty or not text, lacks a column or has unbalanced quotes;
            the message names the file, and the line or the columns found.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))  # process-wide; only ever raised
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            yield from _rows(file, path, image_column, mask_column)
    except OSError as error:
        raise InputError(f"label file {path} cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise InputError(
            f"label file {path} is not UTF-8 text ({error}): save it as CSV in UTF-8"
        ) from error


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(2)
    return "utf-16" if head in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _rows(file: TextIO, path: Path, image_column: str, mask_column: str) -> Iterator[Item]:
    skipped, header = _header_line(file)
    if not header:
        raise InputError(
            f"label file {path} is empty: it needs the columns {image_column} and {mask_column}"
        )
    delimiter, width, image_at, mask_at = _columns(header, path, image_column, mask_column)
    # Strict: read leniently, one quote too many makes the rows after it vanish into a cell.
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    line = skipped + 1
    while True:
        begins = line + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"label file {path}, line {begins}: {error} (is a quote open or one too many?)"
            ) from error
        line = skipped + 1 + reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        name = cells[image_at].strip() if image_at < len(cells) else ""
        text = cells[mask_at].strip() if mask_at < len(cells) else None
        if any(cell.strip() for cell in cells[width:]):
            # Which of the cells is the mask is anyone's guess: half a mask looks like a whole one.
            text = _JOINT.join([text or "", *cells[width:]])
        yield Annotation(name, text, begins)
        if not name:
            yield Problem("", begins, "no_image", f"line {begins} names no image")


def _header_line(file: TextIO) -> tuple[int, str]:
    """Skip blank lines; return how many, and the header (empty at the end of the file)."""
    skipped = 0
    # A header is short; a binary file without a line break must not be read whole.
    while text := file.readline(1 << 16):
        if text.strip():
            return skipped, text
        skipped += 1
    return skipped, ""


def _columns(header: str, path: Path, image: str, mask: str) -> tuple[str, int, int, int]:
    """Find the delimiter, the number of columns, and which are those of the image and the mask."""
    found: list[str] = []
    for delimiter in DELIMITERS:
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
        folded = [name.casefold() for name in names]
        if image.casefold() in folded and mask.casefold() in folded:
            return delimiter, len(names), _position(names, image), _position(names, mask)
        if len(names) > len(found):
            found = names
    missing = [name for name in (image, mask) if name.casefold() not in map(str.casefold, found)]
    listed = ", ".join(repr(name[:40]) for name in found[:12])
    raise InputError(
        f"label file {path} has no column {' and no column '.join(missing or [image, mask])}: "
        f"found {listed} (set labels.image_column and labels.mask_column to match)"
    )


def _position(names: list[str], wanted: str) -> int:
    if wanted in names:
        return names.index(wanted)
    return [name.casefold() for name in names].index(wanted.casefold())

"""The mask rows of single images: read them, and turn them into objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl
import pyarrow.dataset as ds

from boatseg_core.errors import RleError
from boatseg_core.imaging import rle
from boatseg_core.labels.annotation import runs_of
from boatseg_core.lake import Lake


class LabelKey(NamedTuple):
    """Which rows of ``raw_masks`` say what an image holds: all of one name, file and version."""

    label_id: str
    by_stem: bool
    label_version: int
    source_file: str


class MaskRow(NamedTuple):
    """One row of ``raw_masks``; the fields are its columns."""

    line: int
    encoded_pixels: str | None
    kind: str | None
    width: int | None
    height: int | None
    element: str | None
    category: str | None
    crowd: bool | None


class Drawn(NamedTuple):
    """Objects of one image.

    Attributes:
        objects: Runs of each object, in the order of the rows.
        rows: The row each object comes from.
        issues: What was wrong or strange: line, element, reason and message.
    """

    objects: list[rle.Runs]
    rows: list[MaskRow]
    issues: list[dict[str, Any]]


HARMLESS = frozenset(
    {
        "duplicate_row",
        "contradicting_empty_row",
        "ambiguous_name",
        "conflicting_files",
        "cut_off",
        "self_intersecting",
        "covers_no_pixel",
        "crowd",
    }
)
"""Reasons of issues that tell of something strange, but lose no mask row."""


def keys_of(frame: pl.DataFrame) -> list[LabelKey]:
    """The keys in a frame with the columns of :class:`LabelKey`, in its order."""
    return [LabelKey(*row) for row in frame.select(LabelKey._fields).iter_rows()]


def read_rows(
    lake: Lake, keys: Iterable[LabelKey], versions: Mapping[str, int] | None = None
) -> dict[LabelKey, list[MaskRow]]:
    """Read the rows of some labels, sorted by line.

    Args:
        lake: The lake.
        keys: Labels wanted.
        versions: Delta versions to pin, by table.
    """
    rows: dict[LabelKey, list[MaskRow]] = {key: [] for key in keys}
    if not rows:
        return rows
    names = sorted({key.label_id for key in rows})
    numbers = {key.label_version for key in rows}
    name, number = ds.field("image_id"), ds.field("label_version")
    scanner = lake.dataset("raw_masks", (versions or {}).get("raw_masks")).scanner(
        columns=["image_id", "by_stem", "label_version", "source_file", *MaskRow._fields],
        # The ranges skip whole files by the statistics in the log; the set alone would not.
        filter=(name >= names[0])
        & (name <= names[-1])
        & (number >= min(numbers))
        & (number <= max(numbers))
        & name.isin(names),
        # The read-ahead of the defaults would hold every other batch's run lengths as well.
        batch_size=4096,
        batch_readahead=2,
        fragment_readahead=1,
    )
    for batch in scanner.to_batches():
        for image_id, by_stem, version, source, *cells in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            found = rows.get(LabelKey(image_id, bool(by_stem), version, source))
            if found is not None:
                found.append(MaskRow(*cells))
    return {key: sorted(found, key=_by_line) for key, found in rows.items()}


def draw_rows(rows: list[MaskRow], height: int, width: int) -> Drawn:
    """Turn the rows of an image into objects of its size.

    Args:
        rows: As :func:`read_rows` returns them.
        height: Rows of the image, in pixels.
        width: Columns of the image, in pixels.
    """
    issues: list[dict[str, Any]] = []

    def issue(row: MaskRow, reason: str, message: str) -> None:
        issues.append(
            {"line": row.line, "element": row.element, "reason": reason, "message": message}
        )

    first: dict[tuple[str | None, str], MaskRow] = {}
    empty: list[MaskRow] = []
    for row in rows:
        text = row.encoded_pixels
        if text is None:
            issue(row, "missing_cell", "the row ends before the mask column")
        elif (row.kind, text) in first:
            before = first[(row.kind, text)]
            issue(row, "duplicate_row", f"the same as line {before.line}; it counts once")
        elif text:
            first[(row.kind, text)] = row
        elif empty:
            issue(row, "duplicate_row", f"the same as line {empty[0].line}; it counts once")
        else:
            empty.append(row)
    if empty and first:
        issue(
            empty[0],
            "contradicting_empty_row",
            "an empty cell beside rows with a mask; the rows win",
        )
    objects: list[rle.Runs] = []
    sources: list[MaskRow] = []
    for row in [*first.values(), *empty]:
        try:
            runs, notes = runs_of(
                row.kind,
                row.encoded_pixels or "",
                height,
                width,
                own_height=row.height,
                own_width=row.width,
            )
        except RleError as error:
            issue(row, error.reason, str(error))
            continue
        for note in notes:
            issue(row, note.reason, note.message)
        if row.crowd:
            issue(row, "crowd", "marks a crowd of objects, which counts as one")
        if len(runs):
            objects.append(runs)
            sources.append(row)
    return Drawn(objects, sources, issues)


def _by_line(row: MaskRow) -> tuple[int, str]:
    return row.line, row.element or ""

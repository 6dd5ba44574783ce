"""Issues of a label file as a whole: they belong to no image, and so to no batch.

They are rows of ``label_issues`` all the same. Each file has a partition of its own, whose batch id
``labels-...`` is made from the file's name; reading the file again replaces it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import polars as pl
import pyarrow as pa

from boatseg_core.labels.files import LabelFile
from boatseg_core.labels.sources.base import Problem
from boatseg_core.lake import TABLES, Lake

PREFIX = "labels-"
"""What the batch ids of these partitions begin with; no sealed batch's does."""

UNUSABLE = "unusable_file"
"""Reason of a file that was refused as a whole."""

MOST = 10_000
"""Issues kept of one file; the last one says how many there were."""


class Collector:
    """Collects the problems of one file, in bounded memory."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Take one more."""
        self.count += 1
        if len(self._kept) < MOST:
            self._kept.append(problem)

    def problems(self) -> list[Problem]:
        """The problems kept, and one that counts those that were not."""
        if self.count <= MOST:
            return self._kept
        more = f"{self.count - MOST + 1:,} more issues of this file are not listed"
        return [*self._kept[:-1], Problem("", 0, "more", more)]


def batch_of(file: LabelFile) -> str:
    """Batch id of a file's partition."""
    return PREFIX + hashlib.sha256(file.name.encode()).hexdigest()[:24]


def write(lake: Lake, file: LabelFile, problems: Sequence[Problem], version: int) -> None:
    """Replace the issues of one file; nothing is written where they are the same already."""
    write_all(lake, {file: problems}, version)


def write_all(lake: Lake, found: dict[LabelFile, Sequence[Problem]], version: int) -> None:
    """Replace the issues of several files.

    Args:
        lake: The lake.
        found: Problems by file; none clears what an earlier reading found.
        version: Label version the problems are of; 0 for a refused file.
    """
    there = {key: rows for (key,), rows in _read(lake).group_by("batch_id")}
    for file, problems in found.items():
        batch = batch_of(file)
        rows = [
            {
                "source_file": file.source,
                "line": problem.line or None,
                "image_id": problem.image_id,
                "batch_id": batch,
                "reason": problem.reason,
                "message": problem.message,
                "label_version": version,
                "element": problem.element,
            }
            for problem in problems
        ]
        table = pa.Table.from_pylist(rows, schema=TABLES["label_issues"].schema)
        known = there.get(batch)
        fresh = pl.DataFrame(table)
        if (known is None and rows) or (
            known is not None
            and not known.sort(known.columns).equals(
                fresh.select(known.columns).sort(known.columns)
            )
        ):
            lake.replace_batch("label_issues", batch, table)


def read(lake: Lake) -> pl.DataFrame:
    """Issues of all files, sorted by file and line."""
    return _read(lake).sort("source_file", "line", "image_id", "reason", "message")


def clear_gone(lake: Lake, files: Iterable[LabelFile]) -> None:
    """Forget the refusal of files that are no longer there; their other issues stay."""
    kept = {batch_of(file) for file in files}
    refused = _read(lake).filter(pl.col("reason") == UNUSABLE)["batch_id"].unique().to_list()
    empty = TABLES["label_issues"].schema.empty_table()
    for batch in refused:
        if batch not in kept:
            lake.replace_batch("label_issues", batch, empty)


def _read(lake: Lake) -> pl.DataFrame:
    rows = lake.scan("label_issues").filter(pl.col("batch_id").str.starts_with(PREFIX))
    return rows.collect()

"""Issues of label files as such: they belong to no image, and so to no batch.

They are rows of ``label_issues`` all the same, in partitions whose batch id begins with
``labels-``: one for each label file, and one for all mask pictures, of which there may be very
many. Reading a file again replaces its rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import polars as pl
import pyarrow as pa

from boatseg_core.errors import LakeError
from boatseg_core.labels.files import MASKS, LabelFile
from boatseg_core.labels.sources.base import Problem
from boatseg_core.lake import TABLES, Lake

PREFIX = "labels-"
"""What the batch ids of these partitions begin with; no sealed batch's does."""

UNUSABLE = "unusable_file"
"""Reason of a file that was refused as a whole."""

MOST = 10_000
"""Issues kept of one file; the last one says how many there were."""

_ATTEMPTS = 20


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
    """Batch id of the partition with a file's issues."""
    if file.source.startswith(f"{MASKS}/"):
        return f"{PREFIX}{MASKS}"
    return PREFIX + hashlib.sha256(file.name.encode()).hexdigest()[:24]


def write(lake: Lake, found: Mapping[LabelFile, Sequence[Problem]], version: int) -> None:
    """Replace the issues of some files; nothing is written where they are the same already.

    Args:
        lake: The lake.
        found: Problems by file; none clears what an earlier reading found.
        version: Label version the problems are of; that of a refused file is 0.
    """
    parts: dict[str, dict[str, Sequence[Problem]]] = {}
    for file, problems in found.items():
        parts.setdefault(batch_of(file), {})[file.source] = problems
    for batch, by_source in parts.items():
        rows = [
            _row(source, problem, batch, version)
            for source, problems in by_source.items()
            for problem in problems
        ]
        fresh = pl.DataFrame(pa.Table.from_pylist(rows, schema=TABLES["label_issues"].schema))
        gone = pl.col("source_file").is_in(list(by_source))
        _change(lake, batch, lambda old, gone=gone, fresh=fresh: pl.concat(  # type: ignore[misc]
            [old.filter(~gone), fresh.select(old.columns)], how="vertical_relaxed"
        ))  # fmt: skip


def read(lake: Lake) -> pl.DataFrame:
    """Issues of all files, sorted by file and line."""
    return _read(lake).sort("source_file", "line", "image_id", "reason", "message")


def clear_gone(lake: Lake, files: Iterable[LabelFile]) -> None:
    """Forget the refusal of files that are no longer there; their other issues stay."""
    kept: dict[str, list[str]] = {}
    for file in files:
        kept.setdefault(batch_of(file), []).append(file.source)
    refused = _read(lake).filter(pl.col("reason") == UNUSABLE)["batch_id"].unique().to_list()
    for batch in refused:
        there = pl.col("source_file").is_in(kept.get(batch, []))
        _change(lake, batch, lambda old, there=there: old.filter(  # type: ignore[misc]
            there | (pl.col("reason") != UNUSABLE)
        ))  # fmt: skip


def _change(lake: Lake, batch: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Replace a partition by what a function makes of it, also while others do."""
    for _ in range(_ATTEMPTS):
        table = lake.version("label_issues")
        old = lake.read("label_issues", batch_id=batch, version=table)
        new = change(old)
        by = old.columns
        if old.sort(by).equals(new.sort(by)):
            return
        if table is None:
            table = lake.create("label_issues").version()
        if lake.replace_batch_after("label_issues", batch, new, table) is not None:
            return
    raise LakeError(f"the issues of label files ({batch}) kept changing while they were written")


def _row(source: str, problem: Problem, batch: str, version: int) -> dict[str, object]:
    return {
        "source_file": source,
        "line": problem.line or None,
        "image_id": problem.image_id,
        "batch_id": batch,
        "reason": problem.reason,
        "message": problem.message,
        "label_version": 0 if problem.reason == UNUSABLE else version,
        "element": problem.element,
    }


def _read(lake: Lake) -> pl.DataFrame:
    rows = lake.scan("label_issues").filter(pl.col("batch_id").str.starts_with(PREFIX))
    return rows.collect()

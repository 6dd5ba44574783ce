"""``label_files``: which label files were read; and the rows that go into ``raw_masks``."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence

import polars as pl

from boatseg_core.labels.files import LabelFile
from boatseg_core.labels.sources.base import Annotation
from boatseg_core.lake import TABLES, Lake

REFUSED = 0
"""Label version of a file that cannot be used."""


def newest_version(lake: Lake) -> int:
    """Highest label version in use, counted in or not."""
    tables = ("label_files", "raw_masks")
    found = [lake.scan(t).select(pl.col("label_version").max()).collect().item() for t in tables]
    return max(int(version or 0) for version in found)


def unknown(lake: Lake, files: Sequence[LabelFile], least_version: int) -> list[LabelFile]:
    """List the files that no ledger row of at least that label version knows as they are now."""
    ledger = lake.read("label_files", ["path", "size_bytes", "mtime_ns", "label_version"])
    ledger = ledger.filter(pl.col("label_version") >= least_version).drop("label_version")
    known = set(ledger.iter_rows())
    return [file for file in files if (file.name, file.size_bytes, file.mtime_ns) not in known]


def row(file: LabelFile, kind: str, sha256: str, version: int, rows: int) -> dict[str, object]:
    """A row of the ledger."""
    return {
        "path": file.name,
        "size_bytes": file.size_bytes,
        "mtime_ns": file.mtime_ns,
        "sha256": sha256,
        "label_version": version,
        "rows": rows,
        "loaded_at": dt.datetime.now(dt.UTC),
        "source_file": file.source,
        "kind": kind,
    }


def frame(rows: Sequence[Annotation], file: LabelFile, sha256: str, version: int) -> pl.DataFrame:
    """Rows of ``raw_masks``, all of one file."""
    columns = list(zip(*rows, strict=True)) or [() for _ in Annotation._fields]
    schema = pl.Schema(TABLES["raw_masks"].schema)
    data = {
        "encoded_pixels" if name == "text" else name: pl.Series(
            values, dtype=schema["encoded_pixels" if name == "text" else name]
        )
        for name, values in zip(Annotation._fields, columns, strict=True)
    }
    return pl.DataFrame(data).with_columns(
        digest=pl.Series([_digest(row) for row in rows], dtype=pl.Int64),
        source_file=pl.lit(file.source),
        label_version=pl.lit(version),
        sha256=pl.lit(sha256),
    )


def _digest(row: Annotation) -> int:
    """Hash what a row says, wherever in its file it stands."""
    said = (row.kind, row.width, row.height, row.category, row.crowd, row.text)
    # 48 bits: sums over tens of thousands of rows of one image still fit int64.
    return int.from_bytes(hashlib.blake2b(repr(said).encode(), digest_size=6).digest(), "big")

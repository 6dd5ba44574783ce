"""A large home without a picture: every table as if so many files had been taken up to gold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from boatseg_core.config import Settings
from boatseg_core.dataset.differences import splits_of
from boatseg_core.ingest.quality import criteria_hash
from boatseg_core.lake import TABLES, Lake

TAKEN = ("raw_images", "image_quality", "rasterized_masks", "image_groups", "gold_dataset")
PER_BATCH = 1000
_BATCHES_AT_ONCE = 100

Files = tuple[list[str], list[int], list[int]]
"""Paths, sizes in bytes, and times of modification in nanoseconds since 1970."""


def name_of(number: int) -> str:
    """A file name like those of the Airbus set: nine hexadecimal digits nobody can guess."""
    digits = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()[:9]
    return f"{number // 10_000:04}/{digits}-{number}.jpg"


def invented(first: int, count: int) -> Files:
    """Files that are not there, with sizes and times that do not compress better than real ones."""
    random = np.random.default_rng(first)
    sizes = random.integers(50_000, 200_000, count)
    times = 1_600_000_000_000_000_000 + random.integers(0, 10**17, count)
    names = [name_of(number) for number in range(first, first + count)]
    return names, sizes.tolist(), times.tolist()


def fill(
    lake: Lake, settings: Settings, parts: Iterator[Files], *, tables: tuple[str, ...] = TAKEN
) -> int:
    """Write files into the ledger, and what would have become of them into the other tables.

    Args:
        lake: An empty lake.
        settings: Criteria and splits to be up to date with.
        parts: Files, at most 100,000 at a time: each part is one commit a table, where a home that
            grew has one a batch (and a checkpoint of its log every so often).
        tables: Tables to write besides the ledger.

    Returns:
        Number of batches.
    """
    batches = 0
    for names, sizes, times in parts:
        count = len(names)
        numbers = batches + 1 + np.arange(count) // PER_BATCH
        batches = int(numbers[-1])
        rows = pl.DataFrame({"image_id": names, "size_bytes": sizes, "mtime_ns": times}).select(
            pl.all(),
            pl.lit("landing").alias("source"),
            pl.col("image_id").alias("path"),
            pl.lit("").alias("etag"),
            pl.lit("").alias("archive"),
            pl.Series("batch_id", [f"20260101-{number:06d}" for number in numbers]),
            pl.lit("2026-01-01").str.to_datetime(time_zone="UTC").alias("sealed_at"),
        )
        lake.append("files", _filled("files", rows))
        if not tables:
            continue
        rows = rows.with_columns(
            sha256=pl.Series([hashlib.sha256(name.encode()).hexdigest() for name in names]),
            width=pl.lit(768),
            height=pl.lit(768),
            passed=pl.lit(True),
            criteria=pl.lit(criteria_hash(settings.quality)),
            label_version=pl.lit(1, pl.Int64),
            rejected_rows=pl.lit(0),
            group_id=pl.col("image_id"),
            split=splits_of(pl.Series(names), settings.split),
            encoded_pixels=pl.lit(""),
            source_file=pl.lit("labels.csv"),
            line=pl.int_range(2, count + 2, dtype=pl.Int64),
        )
        for table in (*tables, "raw_masks"):
            lake.append(table, _filled(table, rows))
    if tables:
        ledger = pl.DataFrame({"path": ["landing/labels.csv"], "label_version": [1]})
        ledger = ledger.with_columns(source_file=pl.lit("labels.csv"))
        lake.append("label_files", _filled("label_files", ledger))
    return batches


def finish(lake: Lake, settings: Settings, batch: str) -> None:
    """Let a sealed batch have been taken up to gold, unlabelled: one replacement a table."""
    names = lake.read("files", ["image_id"], batch_id=batch)["image_id"].to_list()
    rows = pl.DataFrame({"image_id": names}).with_columns(
        batch_id=pl.lit(batch),
        sha256=pl.Series([hashlib.sha256(name.encode()).hexdigest() for name in names]),
        width=pl.lit(768),
        height=pl.lit(768),
        passed=pl.lit(True),
        criteria=pl.lit(criteria_hash(settings.quality)),
        group_id=pl.col("image_id"),
        split=splits_of(pl.Series(names), settings.split),
    )
    for table in ("raw_images", "image_quality", "image_groups"):
        lake.replace_batch(table, batch, _filled(table, rows))


def in_parts(first: int, count: int) -> Iterator[Files]:
    """Invented files, a part at a time."""
    step = PER_BATCH * _BATCHES_AT_ONCE
    for start in range(first, first + count, step):
        yield invented(start, min(step, first + count - start))


def _filled(name: str, rows: pl.DataFrame) -> pa.Table:
    """Rows in the table's columns: empty bytes, and nulls in what is not given."""
    schema, given = TABLES[name].schema, rows.to_arrow()
    columns = [
        given[field.name].cast(field.type)
        if field.name in given.column_names
        else pa.array([b""] * rows.height, field.type)
        if pa.types.is_binary(field.type)
        else pa.nulls(rows.height, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)

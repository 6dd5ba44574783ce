"""Compare tables with each other for the doctor, and list in the ledger again what fell out of it.

A data file of the ledger that is lost takes the rows of its batches along, while their images are
still in the tables: discovery would find their files new and seal them a second time.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import BoatsegError, LakeError
from boatseg_core.ingest.discover import discover
from boatseg_core.ingest.reconcile import incomplete_batches, sealed_batches
from boatseg_core.ingest.sources import Limits, open_source, reads
from boatseg_core.lake import TABLES, Lake
from boatseg_core.lake.doctor import Finding

DERIVED = (
    "image_quality",
    "rasterized_masks",
    "image_groups",
    "gold_dataset",
    "predictions",
    "drift",
)
"""Tables whose batches are those of the ledger, and made from bronze."""

_KEY = ["batch_id", "source", "path"]
_FEW = 3


def compare(lake: Lake) -> list[Finding]:
    """What the tables say of each other; only narrow columns are read."""
    found = []
    if lost := unlisted(lake):
        found.append(
            Finding(
                "files",
                "rows_without_ledger",
                f"{sum(lost.values()):,} rows of raw_images or quarantine in {_batches(lost)} are "
                "not in the ledger",
                "Discovery would find their files new, and seal and store them a second time.",
                "safe",
                "They are listed in the ledger again, in the batches they were sealed into.",
                batches=tuple(sorted(lost)),
            )
        )
    waiting = incomplete_batches(lake)
    if waiting:
        found.append(
            Finding(
                "raw_images",
                "ledger_without_rows",
                f"{_batches(dict.fromkeys(waiting, 0))} of the ledger have files that are neither "
                "in raw_images nor in quarantine",
                "These images are not in the tables yet, or no longer.",
                "run",
                "Run `boatseg ingest`, or let the sensor: outstanding batches are read again.",
                batches=tuple(waiting),
            )
        )
    if not lost:  # a batch is only dead when nothing is left to list it for
        found += _dead(lake)
    return [*found, *_gold(lake), *_labels(lake)]


def unlisted(lake: Lake) -> dict[str, int]:
    """Number of rows without a row in the ledger, by batch."""
    rows = _taken(lake).join(lake.scan("files").select(_KEY), on=_KEY, how="anti")
    return dict(rows.group_by("batch_id").len().sort("batch_id").collect().iter_rows())


def relist(lake: Lake, settings: Settings) -> int:
    """List rows in the ledger again that fell out of it; run it while nothing else seals.

    The time of modification comes from the source where the file is still there with the bytes
    that were taken. Otherwise the row gets none, so that what is there now is found to be new.

    Args:
        lake: The lake.
        settings: Landing folder.

    Returns:
        Rows added.

    Raises:
        LakeError: Another process sealed meanwhile.
        InputError: The landing folder cannot be listed.
    """
    lake.create("files")
    keys = lake.scan("files").select(_KEY)
    lost = _taken(lake).join(keys, on=_KEY, how="anti").collect()
    if lost.is_empty():
        return 0
    stamps = _stamps(lost, lake, settings)
    now = datetime.now(UTC)
    spec = TABLES["files"].schema
    nothing = {"mtime_ns": 0, "etag": "", "archive": ""}
    rows = [
        dict.fromkeys(spec.names)
        | row
        | nothing
        | {"sealed_at": now}
        | stamps.get((row["source"], row["path"], row["sha256"]), {})
        for row in lost.iter_rows(named=True)
    ]
    frame = pl.DataFrame([{name: row[name] for name in spec.names} for row in rows])
    count = lake.table("files").transaction_version("seal") or 0
    highest = max((_number(batch) for batch in lost["batch_id"].to_list()), default=0)
    done = lake.append(
        "files",
        frame.with_columns(pl.col("sealed_at").dt.cast_time_unit("us")),
        app_id="seal",
        # Higher in any case: the transaction has to count as a new one.
        app_version=max(count + 1, highest),
        app_after=count,
    )
    if done is None:
        raise LakeError("the ledger was not repaired, since another process sealed: run it again")
    return frame.height


def bury(lake: Lake, finding: Finding) -> int:
    """Empty the batches of a derived table that the ledger does not know.

    Returns:
        Rows taken out; older versions of the table keep them.
    """
    counts = lake.counts(finding.table)
    empty = TABLES[finding.table].schema.empty_table()
    for batch_id in finding.batches:
        lake.replace_batch(finding.table, batch_id, empty)
    return sum(counts.get(batch_id, 0) for batch_id in finding.batches)


def _dead(lake: Lake) -> list[Finding]:
    sealed = sealed_batches(lake)
    found = []
    for name in DERIVED:
        counts = {b: n for b, n in lake.counts(name).items() if n and b not in sealed}
        if counts:
            found.append(
                Finding(
                    name,
                    "dead_batches",
                    f"{sum(counts.values()):,} rows are of {_batches(counts)}, which the ledger "
                    "does not have",
                    "They were made from images that are lost or in another batch by now, and "
                    "count twice or for nothing.",
                    "safe",
                    "They are taken out; older versions of the table keep them.",
                    batches=tuple(sorted(counts)),
                )
            )
    return found


def _taken(lake: Lake) -> pl.LazyFrame:
    columns = [*_KEY, "image_id", "size_bytes", "sha256"]
    tables = [lake.scan(name).select(columns) for name in ("raw_images", "quarantine")]
    return pl.concat(tables)


def _stamps(
    lost: pl.DataFrame, lake: Lake, settings: Settings
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Time, tag and archive of the files that are still what was taken, by source, path, hash."""
    new = discover(lake, settings).new
    there = new.join(lost.select("source", "path", "sha256"), on=["source", "path"], how="inner")
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for (source,), rows in there.group_by("source"):
        opened = open_source(str(source), settings)
        for row, fetch in reads(opened, rows.to_dicts(), Limits.of(settings.landing)):
            try:
                sha256 = hashlib.sha256(fetch()).hexdigest()
            except BoatsegError:  # not what was taken, whatever it is: it will be found new
                continue
            if sha256 == row["sha256"]:
                stamp = {name: row[name] for name in ("mtime_ns", "etag", "archive")}
                found[(row["source"], row["path"], sha256)] = stamp
    return found


def _number(batch_id: str) -> int:
    tail = batch_id.rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


def _gold(lake: Lake) -> list[Finding]:
    keys = ["batch_id", "image_id"]
    images = lake.scan("raw_images").select(keys)
    lost = lake.scan("gold_dataset").select(keys).join(images, on=keys, how="anti").collect()
    lost = lost.filter(pl.col("batch_id").is_in(list(sealed_batches(lake))))
    if lost.is_empty():
        return []
    counts = dict(lost.group_by("batch_id").len().iter_rows())
    return [
        Finding(
            "gold_dataset",
            "gold_without_source",
            f"{lost.height:,} rows in {_batches(counts)} have no image in raw_images, for example "
            f"{lost['image_id'][0]}",
            "Training would read images that no other table knows.",
            "run",
            "Run `boatseg ingest`: it reads the images again, or drops the rows from gold.",
            batches=tuple(sorted(counts)),
        )
    ]


def _labels(lake: Lake) -> list[Finding]:
    # A file that was touched is listed again with no rows, one that was refused with a version
    # below zero.
    read = (
        lake.scan("label_files")
        .group_by("label_version")
        .agg(pl.col("rows").sum().alias("expected"), pl.col("path").first())
    )
    there = lake.scan("raw_masks").group_by("label_version").agg(pl.len().alias("found"))
    lost = (
        read.join(there, on="label_version", how="left")
        .with_columns(pl.col("found").fill_null(0))
        .filter(pl.col("found") < pl.col("expected"))
        .sort("label_version")
        .collect()
    )
    return [
        Finding(
            "raw_masks",
            "labels_without_rows",
            f"label file {row['path']} (version {row['label_version']}) had "
            f"{row['expected']:,} rows, of which {row['found']:,} are there",
            "Masks are missing in rasterized_masks and gold.",
            "hand",
            "Copy the label file to a new name in the landing folder and run `boatseg ingest`: it "
            "is read as a new version, which takes the place of this one.",
        )
        for row in lost.iter_rows(named=True)
    ]


def _batches(counts: dict[str, int]) -> str:
    names = sorted(counts)
    shown = ", ".join(names[:_FEW])
    noun = "batch" if len(names) == 1 else "batches"
    more = "" if len(names) <= _FEW else f" and {len(names) - _FEW:,} more"
    return f"{noun} {shown}{more}"

"""Damage in a table's data files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from boatseg_core.lake.commit import active_files
from boatseg_core.lake.doctor.finding import Finding
from boatseg_core.lake.files import Files
from boatseg_core.lake.log import list_log, newest_first
from boatseg_core.lake.maintenance.vacuum import data_files
from boatseg_core.lake.schemas import TABLES
from boatseg_core.lake.store import Lake

REBUILT = "The next `boatseg ingest` builds it again from what it was made of."
SOURCES = {
    "files": "The images of its rows are then listed in the ledger again.",
    "raw_images": "The next `boatseg ingest` reads its images again; one whose file is no longer "
    "in the landing folder is lost unless the data file comes back from a backup.",
    "label_files": "The next `boatseg ingest` reads the label files again.",
    "raw_masks": "Its labels are missing until the label file is read under a new name.",
    "promotions": "The decisions in it are lost unless the file comes back from a backup.",
    "inference_log": "The requests in it are lost unless the file comes back from a backup.",
    "drift": "The next scoring measures it again.",
    "predictions": "The next scoring builds it again.",
}


def examine_data(lake: Lake, name: str, *, deep: bool) -> Iterator[Finding]:
    """Missing, damaged and orphaned data files."""
    there = {entry.path: entry.size for entry in data_files(lake, name)}
    active = active_files(lake.table(name))
    damaged: dict[str, str] = {}
    missing: list[dict[str, Any]] = []
    rows = list(active.iter_rows(named=True))
    for row in rows:
        path = f"{name}/{row['path']}"
        if path not in there:
            missing.append(row)
        elif why := _bad(lake.files, path, row, there[path], deep=deep):
            damaged[row["path"]] = why
    if missing or damaged:
        # Whoever replaced a batch meanwhile has made its old files unneeded.
        now = set(active_files(lake.table(name))["path"].to_list())
        missing = [row for row in missing if row["path"] in now]
    remedy = SOURCES.get(name, REBUILT)
    all_gone = len(missing) == len(rows) > 1
    for row in missing:
        yield Finding(
            name,
            "missing_file",
            f"the data file {row['path']} is not there; the log counts {row['num_records']} rows "
            f"in it{_of(row)}",
            "Reading these rows fails.",
            "hand" if all_gone else "safe",
            "Every data file of the table is missing: is a disk not connected?"
            if all_gone
            else f"It is taken out of the log. {remedy}",
            (f"{name}/{row['path']}",),
            batches=_batch(row),
        )
    for row in rows:
        if row["path"] in damaged:
            yield Finding(
                name,
                "corrupt_file",
                f"the data file {row['path']} is damaged{_of(row)}: {damaged[row['path']]}",
                "Reading these rows fails, or gives wrong bytes.",
                "safe",
                f"It is set aside (below _doctor) and taken out of the log. {remedy}",
                (f"{name}/{row['path']}",),
                batches=_batch(row),
            )
    orphans = sorted(there.keys() - {f"{name}/{path}" for path in _named(lake, name)})
    if orphans:
        yield Finding(
            name,
            "orphan_files",
            f"{len(orphans)} data files ({sum(there[p] for p in orphans):,} bytes) are named by no "
            "version: writers were stopped before they committed, or are about to",
            "They are never read; they only take space.",
            "none",
            "`boatseg lake vacuum` deletes them once they are older than lake.keep_days.",
            tuple(orphans),
        )


def _named(lake: Lake, name: str) -> set[str]:
    """Every path the log knows of, added or removed, at whatever version."""
    named = set(active_files(lake.table(name))["path"].to_list())
    log = list_log(lake.files, name)
    base = max(log.checkpoints, default=-1)
    for version, actions, _ in newest_first(lake.files, log, tolerant_below=base + 1):
        del version
        for action in actions:
            for kind in ("add", "remove"):
                if kind in action:
                    named.add(action[kind]["path"])
    # Entries that were cleaned up live on as tombstones in the checkpoints.
    for entries in log.checkpoints.values():
        for entry in entries:
            named |= _tombstones(lake.files, entry.path)
    return named


def _tombstones(files: Files, path: str) -> set[str]:
    if not path.endswith(".parquet"):
        return set()
    try:
        with pq.ParquetFile(files.source(path)) as file:
            table = file.read(columns=["add.path", "remove.path"])
    except (OSError, pa.ArrowException):  # reported for itself
        return set()
    return {
        value["path"]
        for column in table.columns
        for value in column.to_pylist()
        if value and value["path"]
    }


def _bad(files: Files, path: str, row: dict[str, Any], size: int, *, deep: bool) -> str:
    """Why a data file cannot be trusted; empty where it can."""
    if size != row["size_bytes"]:
        return f"it has {size:,} bytes, the log says {row['size_bytes']:,}"
    try:
        with pq.ParquetFile(files.source(path), page_checksum_verification=deep) as file:
            rows = file.metadata.num_rows
            if rows != row["num_records"]:
                return f"it has {rows} rows, the log says {row['num_records']}"
            if deep:
                narrow = not TABLES[path.partition("/")[0]].blobs
                for _ in file.iter_batches(batch_size=65_536 if narrow else 32):
                    pass
    except FileNotFoundError:
        return ""  # vacuumed since it was listed: nobody needs it
    except (OSError, pa.ArrowException) as error:
        return str(error).splitlines()[0]
    return ""


def _of(row: dict[str, Any]) -> str:
    return f" (batch {row['partition.batch_id']})" if "partition.batch_id" in row else ""


def _batch(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["partition.batch_id"],) if "partition.batch_id" in row else ()

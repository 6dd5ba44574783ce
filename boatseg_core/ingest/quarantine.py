"""Look through the files that were refused, and try them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.ingest.ahead import Reading
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.sources import Refusal, open_source
from boatseg_core.ingest.sources.base import sealed_stamp
from boatseg_core.lake import Lake
from boatseg_core.lake.snapshot import Snapshot

_FILE = ["batch_id", "source", "path"]
_COLUMNS = (
    "path",
    "reason",
    "message",
    "sha256",
    "head",
    "size_bytes",
    "source",
    "image_id",
    "batch_id",
    "quarantined_at",
)


@dataclass(frozen=True)
class Retried:
    """What became of one refused file that was tried again.

    Attributes:
        batch_id: Its batch.
        path: The file.
        reason_before: Why it had been refused.
        reason: Why it still is; ``None`` when it is an image of bronze now.
        message: The reason in a sentence; where the file is no longer what was sealed, what
            happens to its new content.
        read: Whether its batch was read again.
    """

    batch_id: str
    path: str
    reason_before: str
    reason: str | None
    message: str
    read: bool


def refused(
    lake: Lake,
    *,
    reasons: Sequence[str] = (),
    batches: Sequence[str] = (),
    paths: Sequence[str] = (),
    only_open: bool = False,
) -> pl.DataFrame:
    """List refused files, by batch and path.

    Args:
        lake: The lake.
        reasons: Only these reasons; by default any.
        batches: Only of these batches.
        paths: Only these paths; ``*``, ``?`` and ``[...]`` match as in a shell, also ``/``.
        only_open: Leave out files whose image has arrived since in a newer version.

    Returns:
        ``path``, ``reason``, ``message``, ``sha256``, ``head`` (the first bytes), ``size_bytes``,
        ``source``, ``image_id``, ``batch_id``, ``quarantined_at`` and ``replaced_in``: the newest
        later batch in which the image arrived whole, or null.
    """
    frame = lake.scan("quarantine")
    if batches:
        frame = frame.filter(pl.col("batch_id").is_in(list(batches)))
    if reasons:
        frame = frame.filter(pl.col("reason").is_in(list(reasons)))
    rows = frame.select(_COLUMNS).collect()
    if paths:
        exact = set(paths)
        keep = [
            path in exact or any(fnmatchcase(path, pattern) for pattern in paths)
            for path in rows["path"]
        ]
        rows = rows.filter(pl.Series(keep, dtype=pl.Boolean))
    arrived = (
        Snapshot(lake)
        .scan("raw_images")
        .select("image_id", replaced_in="batch_id")
        .join(rows.lazy().select("image_id").unique(), on="image_id", how="semi")
        .group_by("image_id")
        .agg(pl.col("replaced_in").max())
        .collect()
        if rows.height
        else pl.DataFrame(schema={"image_id": pl.String, "replaced_in": pl.String})
    )
    rows = rows.join(arrived, on="image_id", how="left").with_columns(
        pl.when(pl.col("replaced_in") > pl.col("batch_id")).then("replaced_in")
    )
    if only_open:
        rows = rows.filter(pl.col("replaced_in").is_null())
    return rows.sort("batch_id", "source", "path")


def retry(
    lake: Lake,
    settings: Settings,
    chosen: pl.DataFrame,
    *,
    each: Callable[[str], None] = lambda _: None,
) -> list[Retried]:
    """Read refused files again, for example after ``decode.max_pixels`` was raised.

    A file is read with its whole batch, which is replaced at once, so that no row is ever lost or
    doubled. Batches none of whose chosen files are what was sealed are left alone: a repaired file
    is a new file, which the next discovery takes.

    Args:
        lake: The lake.
        settings: Landing folder and the bounds in force.
        chosen: Rows of :func:`refused`.
        each: Called with each batch before it is read.

    Returns:
        One entry a chosen row, in its order.

    Raises:
        InputError: A source cannot be reached; the batches before were read all the same.
        LakeError: Another process wrote the same batch meanwhile.
    """
    gone = _gone(lake, settings, chosen)
    keys = [(row["batch_id"], row["path"]) for row in chosen.iter_rows(named=True)]
    batches = sorted({batch for batch, path in keys if (batch, path) not in gone})
    after: dict[tuple[str, str], tuple[str, str]] = {}
    with Reading(lake, settings, batches) as reading:
        for batch in batches:
            each(batch)
            ingest_batch(lake, batch, settings, reading=reading)
            still = lake.read("quarantine", ["path", "reason", "message"], batch_id=batch)
            after |= {(batch, path): (why, text) for path, why, text in still.iter_rows()}
    done = []
    for row in chosen.iter_rows(named=True):
        key = (row["batch_id"], row["path"])
        read = row["batch_id"] in batches
        reason, message = after.get(key, (None, "")) if read else (row["reason"], row["message"])
        done.append(
            Retried(
                batch_id=row["batch_id"],
                path=row["path"],
                reason_before=row["reason"],
                reason=reason,
                message=gone.get(key, message) if reason is not None else "",
                read=read and key not in gone,
            )
        )
    return done


def ledger_rows(lake: Lake, chosen: pl.DataFrame) -> list[dict[str, Any]]:
    """Find what chosen rows were sealed as; ``archive`` is empty in homes that never had one."""
    wanted = chosen.select(_FILE).unique()
    sealed = lake.scan("files").join(wanted.lazy(), on=_FILE, how="semi").collect()
    if "archive" not in sealed.columns:
        sealed = sealed.with_columns(archive=pl.lit(""))
    return sealed.with_columns(pl.col("archive").fill_null("")).sort(_FILE).to_dicts()


def _gone(lake: Lake, settings: Settings, chosen: pl.DataFrame) -> dict[tuple[str, str], str]:
    """Which of the files are no longer what was sealed, and what that means."""
    found: dict[tuple[str, str], str] = {}
    replaced = {
        (row["batch_id"], row["path"]): row["replaced_in"]
        for row in chosen.iter_rows(named=True)
        if row["replaced_in"] is not None
    }
    for row in ledger_rows(lake, chosen):
        key = (row["batch_id"], row["path"])
        source = open_source(row["source"], settings)
        try:
            source.open(*sealed_stamp(row)).close()
        except Refusal as refusal:
            if refusal.reason == "changed" and key in replaced:
                found[key] = f"changed since; its new content was taken with batch {replaced[key]}"
            elif refusal.reason == "changed":
                found[key] = "changed since: its new content is a new file, see boatseg ingest"
            else:
                found[key] = str(refusal)
    return found

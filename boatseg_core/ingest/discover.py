"""Find image files in the landing folder or bucket, and the images in the archives there."""

from __future__ import annotations

import time
from dataclasses import dataclass

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.ingest.known import FOUND, Known
from boatseg_core.ingest.pages import Page, Tally, pages
from boatseg_core.ingest.sources import (
    Entry,
    Limits,
    Refusal,
    Source,
    list_members,
    open_source,
    source_of,
)
from boatseg_core.lake import Lake

_ROWS = {
    "source": pl.String,
    "path": pl.String,
    "image_id": pl.String,
    "size_bytes": pl.Int64,
    "mtime_ns": pl.Int64,
    "etag": pl.String,
    "archive": pl.String,
}


@dataclass(frozen=True)
class Discovery:
    """What one look at the landing folder found.

    Attributes:
        new: One row a file that is not in the ledger: ``source``, ``path``, ``image_id``,
            ``size_bytes``, ``mtime_ns``, ``etag``, ``archive``; in the order of the listing, the
            members of an archive together and in its order.
        listed: Image files and archives seen.
        known: Of these, those that are in the ledger unchanged.
        unsettled: Files so young that they may still be being written; they wait.
        ignored: Files that are neither images nor archives by their ending.
        unnameable: Files whose names are not UTF-8 and cannot be stored in a table.
        unreadable: Files and folders that cannot be looked at (a link in a loop, a folder
            without permission), each with the reason.
        archives: New archives that were looked into.
        complete: Whether the listing went to its end.
        after: Where the next look has to go on; empty when this one was complete.
    """

    new: pl.DataFrame
    listed: int
    known: int
    unsettled: int
    ignored: int
    unnameable: tuple[str, ...]
    unreadable: tuple[str, ...]
    archives: int = 0
    complete: bool = True
    after: str = ""


def discover(
    lake: Lake,
    settings: Settings,
    *,
    ledger_version: int | None = None,
    after: str = "",
    max_files: int = 0,
    seconds: float = 0,
) -> Discovery:
    """List the landing folder and keep what the ledger does not have.

    A file is known by its path and its entity tag, or else its size and time of modification: an
    overwritten file is new again. An archive is known likewise, and new or changed with all its
    images.

    Args:
        lake: The lake with the ledger.
        settings: Landing folder, file endings and settle time.
        ledger_version: Delta version of the ledger to compare with; by default the newest.
        after: Go on behind this path, as an earlier look's ``after`` said. Any value is safe: what
            is skipped is found by the next look that begins at the front.
        max_files: Stop once this many new files are found (never inside an archive); 0 for no
            limit.
        seconds: Stop after this time (never inside an archive); 0 for no limit.

    Raises:
        InputError: A folder of the user's own choosing, or the bucket, does not exist or cannot be
            listed.
    """
    source = open_source(source_of(settings), settings)
    if source.name == "landing" and not settings.images_folder.is_dir():
        return Discovery(_frame([]), 0, 0, 0, 0, (), ())
    source.check()
    ends = time.monotonic() + seconds if seconds else float("inf")
    known = Known(lake, source.name, ledger_version)
    tally = Tally()
    found: list[pl.DataFrame] = []
    count, place, complete = 0, after, True
    for page in pages(source, settings.landing, after, ends, tally):
        room = max_files - count if max_files else 0
        rows, place, whole = _take(source, page, known, settings, tally, room=room, ends=ends)
        found.append(rows)
        count += rows.height
        if whole and page.last:
            break
        if not whole or time.monotonic() >= ends or (max_files and count >= max_files):
            complete = False
            break
    return Discovery(
        new=pl.concat(found) if found else _frame([]),
        listed=tally.listed,
        known=tally.known,
        unsettled=tally.unsettled,
        ignored=tally.ignored,
        unnameable=tuple(tally.unnameable),
        unreadable=tuple(sorted(tally.unreadable)),
        archives=tally.archives,
        complete=complete,
        after="" if complete else place,
    )


def _take(
    source: Source,
    page: Page,
    known: Known,
    settings: Settings,
    tally: Tally,
    *,
    room: int,
    ends: float,
) -> tuple[pl.DataFrame, str, bool]:
    """Keep a page's new files, and the members of its new archives.

    Returns:
        Rows; the place up to which the page was taken; whether that is all of it.
    """
    listed, packed = page.files.drop("packed"), page.files["packed"]
    rows = known.unknown_files(listed.filter(~packed))
    fresh = known.unknown_archives(listed.filter(packed))
    tally.known += listed.height - rows.height - fresh.height
    parts: list[pl.DataFrame] = []
    taken = 0
    limits = Limits.of(settings.landing)
    for archive in fresh.iter_rows(named=True):
        before = pl.col("at") < archive["at"]
        ahead, rows = rows.filter(before), rows.filter(~before)
        parts.append(_ledger_rows(ahead, source.name))
        taken += ahead.height
        if room and taken >= room:
            break
        entry = Entry(*(archive[name] for name in FOUND))
        parts.append(_unpacked(source, entry, limits, tally))
        taken += parts[-1].height
        if (room and taken >= room) or time.monotonic() >= ends:
            return pl.concat(parts), entry.path, False
    else:
        parts.append(_ledger_rows(rows, source.name))
        taken += rows.height
    everything = pl.concat(parts)
    if room and taken > room:
        # Only plain files can be in excess, and only at the end.
        everything = everything.head(room)
        return everything, everything["path"][-1], False
    return everything, page.end, True


def _ledger_rows(files: pl.DataFrame, source: str) -> pl.DataFrame:
    return files.select(
        pl.lit(source).alias("source"),
        "path",
        pl.col("path").alias("image_id"),
        *list(FOUND)[1:],
        pl.lit("").alias("archive"),
    )


def _unpacked(source: Source, archive: Entry, limits: Limits, tally: Tally) -> pl.DataFrame:
    """Rows of an archive's members; one row for all of it when it cannot be used."""
    etag = archive.etag or str(archive.size)
    tally.archives += 1
    try:
        members = [
            (f"{archive.path}/{member.path}", member.size)
            for member in list_members(source, archive, limits)
        ]
    except Refusal as refusal:
        if refusal.reason in ("vanished", "changed"):
            return _frame([])  # the next look finds what it has become
        if refusal.reason == "unreadable":
            tally.unreadable.append(str(refusal))
            return _frame([])
        members = [(archive.path, archive.size)]
    return _frame(
        [
            (source.name, path, path, size, archive.mtime_ns, etag, archive.path)
            for path, size in members
        ]
    )


def _frame(rows: list[tuple[str, str, str, int, int, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_ROWS, orient="row")

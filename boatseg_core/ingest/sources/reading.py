"""Read what the ledger names: plain files, and members of archives, from any source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from boatseg_core.errors import InputError
from boatseg_core.ingest.sources import tars, zips
from boatseg_core.ingest.sources.archives import Fetch, Limits, Member
from boatseg_core.ingest.sources.base import Blob, Entry, Refusal, Row, Source, sealed_stamp

_HEAD = 64  # bytes kept of a file that is refused unread


def list_members(source: Source, entry: Entry, limits: Limits) -> list[Member]:
    """List the images inside an archive that a listing has found.

    Raises:
        Refusal: The archive as a whole cannot be used.
        InputError: The source cannot be reached.
    """
    blob = source.open(entry.path, entry.size, entry.mtime_ns, entry.etag)
    try:
        return _kind(entry.path).members(blob, entry.path, limits)
    finally:
        blob.close()


def read(source: Source, row: Row, limits: Limits) -> bytes:
    """Read one file of the ledger, be it plain or a member of an archive.

    Raises:
        Refusal: It cannot be taken.
        InputError: The source cannot be reached.
    """
    ((_, fetch),) = reads(source, [row], limits)
    return fetch()


def reads(source: Source, rows: Iterable[Row], limits: Limits) -> Iterator[tuple[Row, Fetch]]:
    """Yield each row with a way to read its bytes: plain files first, then archive by archive.

    An archive is opened once and gone through from front to back, however many of its members are
    asked for. A file may be read in any thread and at any time later.

    Args:
        source: Source all the rows are from.
        rows: Rows of the ledger.
        limits: Bounds of files and archives.

    Raises:
        InputError: The source cannot be reached.
    """
    archives: dict[tuple[str, int, int, str], dict[str, Row]] = {}
    for row in rows:
        archive = row.get("archive") or ""
        if archive:
            inside = row["path"].removeprefix(archive).removeprefix("/")
            archives.setdefault(sealed_stamp(row), {})[inside] = row
        else:
            yield row, _plain(source, row, limits)
    for stamp, wanted in archives.items():
        yield from _archive(source, stamp, wanted, limits)


def _plain(source: Source, row: Row, limits: Limits) -> Fetch:
    def fetch() -> bytes:
        if row["size_bytes"] <= limits.member_bytes:
            return source.fetch(row)
        blob = source.open(*sealed_stamp(row))
        try:
            head = blob.read(0, _HEAD)
        finally:
            blob.close()
        raise Refusal(
            "too_many_bytes",
            f"{row['path']} has {row['size_bytes']:,} bytes, more than the "
            f"{limits.member_bytes:,} of landing.max_bytes",
            head,
        )

    return fetch


def _archive(
    source: Source, stamp: tuple[str, int, int, str], wanted: dict[str, Row], limits: Limits
) -> Iterator[tuple[Row, Fetch]]:
    left = dict(wanted)
    path = stamp[0]
    try:
        # Not closed here: what is handed out reads on after the next archive has begun, and the
        # last of it lets go of the file.
        blob = source.open(*stamp)
        if "" in left:  # the archive as a whole could not be used when it was sealed
            head = blob.read(0, _HEAD)
            try:
                _kind(path).members(blob, path, limits)
            except Refusal as refusal:
                raise Refusal(refusal.reason, str(refusal), head) from refusal
            problem = Refusal(
                "sealed_whole",
                f"{path} could not be used when it was sealed and could now: touch it, and its "
                "images are taken",
            )
        else:
            sizes = {inside: row["size_bytes"] for inside, row in left.items()}
            for inside, fetch in _kind(path).reads(blob, path, limits, sizes):
                yield left.pop(inside), fetch
            problem = Refusal("corrupt_archive", f"{path} no longer has this member")
    except Refusal as refusal:
        problem = refusal
    for row in left.values():
        yield row, _refused(problem)


def is_back(source: Source, row: Row) -> bool:
    """Whether a file that could not be read can be, and is what was sealed.

    For an archive's member this is asked of the archive. Nothing is read.
    """
    try:
        source.open(*sealed_stamp(row)).close()
    except (Refusal, InputError):  # not there, changed, or not to be reached: not back yet
        return False
    return True


class _Kind(Protocol):
    def members(self, blob: Blob, name: str, limits: Limits) -> list[Member]: ...

    def reads(
        self, blob: Blob, name: str, limits: Limits, wanted: Mapping[str, int]
    ) -> Iterator[tuple[str, Fetch]]: ...


def _kind(path: str) -> _Kind:
    return zips if path.lower().endswith(".zip") else tars


def _refused(refusal: Refusal) -> Fetch:
    def fetch() -> bytes:
        raise refusal

    return fetch

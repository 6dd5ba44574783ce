"""What a place that images come from has to be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from boatseg_core.errors import BoatsegError

Row: TypeAlias = Mapping[str, Any]
"""A row of the ledger ``files``: ``path``, ``size_bytes``, ``mtime_ns``, ``etag``, ``archive``."""

REASONS: Final = {
    "vanished": "the file was deleted after it was sealed",
    "changed": "the file was overwritten after it was sealed; its new content is a new version",
    "unreadable": "the file is there and may not or cannot be read",
    "too_many_bytes": "the file is larger than landing.max_bytes allows",
    "corrupt_archive": "the archive, or this member of it, is damaged or incomplete",
    "duplicate_member": "the archive holds members of one name: which is meant is not known",
    "encrypted": "the member is encrypted",
    "unsupported_member": "the member is packed in a way that is not read",
    "unsafe_member": "the member is a link, a device, or its name leads out of the archive",
    "nested_archive": "the member is an archive itself",
    "bomb": "the archive unpacks to more than the settings allow",
    "no_images": "the archive holds no images",
    "sealed_whole": "the archive could not be used when it was sealed, and could now",
}
"""Reasons a file can be refused with before its pixels are looked at, and what they mean."""

NOT_FINAL: Final = ("vanished", "changed", "unreadable")
"""Of these, those that say nothing about the content: the file is asked for again once it is as it
was sealed."""


class Refusal(BoatsegError):
    """One file cannot be taken; the others can.

    Attributes:
        reason: One of :data:`REASONS`.
        data: What was read of it, perhaps nothing.
    """

    def __init__(self, reason: str, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.reason = reason
        self.data = data


class Entry(NamedTuple):
    """One file of a listing.

    Attributes:
        path: Path below the source with ``/`` between its parts. A name that is not UTF-8 holds
            surrogate escapes, as everywhere in Python.
        size: Bytes.
        mtime_ns: Last modification, nanoseconds since 1970.
        etag: Entity tag of an object store; empty where there is none.
        error: Why the file cannot be looked at; then size and time mean nothing.
    """

    path: str
    size: int = 0
    mtime_ns: int = 0
    etag: str = ""
    error: str = ""


class Blob(Protocol):
    """One file opened for reading at any place, as it was sealed. Safe to share among threads.

    Attributes:
        size: Bytes.
        window: Bytes worth reading at a time when only a few are needed.
        key: What it is, and as what it was sealed; equal for equal files.
    """

    size: int
    key: tuple[str, int, int, str]
    window: int

    def read(self, offset: int, length: int) -> bytes:
        """Read some bytes; fewer only at the end.

        Raises:
            Refusal: The file is no longer what was sealed, or cannot be read.
            InputError: The whole source cannot be reached.
        """

    def chunks(self, offset: int) -> Iterator[bytes]:
        """Read from a place to the end, in pieces of some megabytes."""

    def check(self) -> None:
        """Raise the :class:`Refusal` if the file is no longer what was sealed."""

    def close(self) -> None:
        """Let go of it."""


class Source(ABC):
    """A place that images come from.

    Attributes:
        name: Its name in the ledger.
        readers: Threads worth reading with, apart from those that decode; 0 where reading is so
            fast that the decoding threads do it.
    """

    name: str
    readers: int

    @abstractmethod
    def check(self) -> None:
        """Raise if the source as a whole cannot be read: of its files nothing can be said then.

        Raises:
            InputError: It does not exist, cannot be reached or may not be read.
        """

    @abstractmethod
    def listing(self, after: str = "") -> Iterator[Entry]:
        """List every file, in the source's own order, which never changes.

        Args:
            after: Begin behind this path, which need not exist (any more).

        Raises:
            InputError: The source cannot be listed.
        """

    @abstractmethod
    def open(self, path: str, size: int, mtime_ns: int, etag: str) -> Blob:
        """Open a file as it was sealed.

        Raises:
            Refusal: It is gone, has changed, or cannot be read.
            InputError: The whole source cannot be reached.
        """

    @abstractmethod
    def fetch(self, row: Row) -> bytes:
        """Read a whole file as it was sealed.

        Raises:
            Refusal: It is gone, has changed, or cannot be read.
            InputError: The whole source cannot be reached.
        """

    @abstractmethod
    def locate(self, path: str) -> str:
        """Name a file for people: its absolute path or URI."""


def sealed_stamp(row: Row) -> tuple[str, int, int, str]:
    """What the file that a ledger row is in was sealed as: path, size, mtime_ns, etag.

    For a member of an archive that is the archive, whose size a local row keeps as its etag.
    """
    archive = row.get("archive") or ""
    if not archive:
        return row["path"], row["size_bytes"], row["mtime_ns"], row["etag"]
    etag = row["etag"]
    if etag.isdecimal():
        return archive, int(etag), row["mtime_ns"], ""
    return archive, -1, row["mtime_ns"], etag

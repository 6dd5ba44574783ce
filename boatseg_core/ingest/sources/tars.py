"""Images inside a tar file, compressed or not: read once from front to back, a piece at a time."""

from __future__ import annotations

import hashlib
import lzma
import tarfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Final, cast

from boatseg_core.errors import InputError
from boatseg_core.ingest.sources.archives import (
    Fetch,
    Limits,
    Member,
    Window,
    ambiguous,
    judge,
    usable,
)
from boatseg_core.ingest.sources.base import Blob, Refusal
from boatseg_core.ingest.sources.inflate import HEADER, Stream, inflate, inflater

_BLOCK = 512

_DAMAGE: Final = (
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    LookupError,
)


def members(blob: Blob, name: str, limits: Limits) -> list[Member]:
    """List the images of a tar file, reading all of it once.

    One that has other images of its own name in the archive has, as its size, more bytes than it
    has: nothing else of what is sealed tells :func:`reads`, which meets the first one long before
    the others, that which one is meant is not known. Images of one name that are the same are one;
    only to compare them an archive is read a second time.

    Args:
        blob: The file.
        name: What it is called in messages.
        limits: Bounds.

    Raises:
        Refusal: The archive as a whole cannot be used; damage anywhere in it is found here.
    """
    found: dict[str, list[Member]] = {}
    count, total = 0, 0
    with _damage(blob, name):
        file = _open(blob, name, limits)
        for info in _headers(file):
            count, total = count + 1, total + info.size
            limits.check_count(count)
            limits.check_total(total, max(blob.size, 1))
            member = _judge(info, limits)
            if member is not None:
                found.setdefault(member.path, []).append(member)
        for _ in file.rest():
            pass
        repeated = {path for path, same in found.items() if len(same) > 1}
        contents = _contents(blob, name, limits, repeated) if repeated else {}
    return usable([_one(same, contents.get(path)) for path, same in found.items()], name)


def _one(same: list[Member], contents: set[bytes] | None) -> Member:
    """The member that stands for all members of its name."""
    first = same[0]
    if contents is None or len(contents) == 1 or first.refusal is not None:
        return first
    return first._replace(size=sum(member.size for member in same) + 1)


def _contents(blob: Blob, name: str, limits: Limits, paths: set[str]) -> dict[str, set[bytes]]:
    """Digests of what the archive holds under some names."""
    found: dict[str, set[bytes]] = {}
    file = _open(blob, name, limits)
    for info in _headers(file):
        member = _judge(info, limits)
        if member is not None and member.path in paths:
            # One that is refused is like no other.
            digest = str(info.offset_data).encode()
            if member.refusal is None:
                digest = hashlib.sha256(_data(file, info)).digest()
            found.setdefault(member.path, set()).add(digest)
    return found


def _data(file: Window | Stream, info: tarfile.TarInfo) -> bytes:
    file.seek(info.offset_data)
    data = file.take(info.size)
    if len(data) != info.size:
        raise EOFError("the archive ends too early")
    return data


def reads(
    blob: Blob, name: str, limits: Limits, wanted: Mapping[str, int]
) -> Iterator[tuple[str, Fetch]]:
    """Yield each wanted member's bytes, or why it is refused, in the archive's order.

    One pass over the archive for any number of members, which ends behind the last of them, and
    where the next call for the same archive goes on: the batches that an archive was sealed into
    are read one after the other. What is not there is left out.

    Args:
        blob: The file.
        name: What it is called in messages.
        limits: Bounds.
        wanted: Paths of members, with their sizes as they were sealed.

    Raises:
        Refusal: The archive is damaged.
    """
    left = dict(wanted)
    kept = _KEPT.take(blob)
    if kept is not None:
        with suppress(Refusal, InputError):  # whatever it is, the pass from the front will say
            yield from _pass(kept, name, limits, left)
    if left:
        with _damage(blob, name):
            begun = _Pass(blob, _headers(file := _open(blob, name, limits)), file)
        yield from _pass(begun, name, limits, left)


@dataclass
class _Pass:
    """An archive that has been read up to some member."""

    blob: Blob
    headers: Iterator[tarfile.TarInfo]
    file: Window | Stream


class _Kept:
    """The one pass that was left off last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: _Pass | None = None

    def take(self, blob: Blob) -> _Pass | None:
        """Take it if it is of this very archive, else drop it."""
        with self._lock:
            last, self._last = self._last, None
        return last if last is not None and last.blob.key == blob.key else None

    def put(self, left_off: _Pass) -> None:
        """Keep a pass."""
        with self._lock:
            self._last = left_off


_KEPT = _Kept()


def _pass(
    begun: _Pass, name: str, limits: Limits, left: dict[str, int]
) -> Iterator[tuple[str, Fetch]]:
    """Go on with a pass until nothing is left to be found, taking from ``left`` what is."""
    blob, file = begun.blob, begun.file
    with _damage(blob, name):
        for info in begun.headers:
            member = _judge(info, limits)
            if member is None or member.path not in left:
                continue
            sealed_size = left.pop(member.path)
            if member.refusal is not None:
                fetch = _raising(member.refusal)
            elif sealed_size > member.size:
                fetch = _raising(ambiguous(member.path, name))
            else:
                data = _data(file, info)
                blob.check()
                fetch = _returning(data)
            yield member.path, fetch
            if not left:
                _KEPT.put(begun)
                return


def _open(blob: Blob, name: str, limits: Limits) -> Window | Stream:
    make = inflater(name)
    if make is None:
        return Window(blob, bound=HEADER, piece=blob.window)
    return Stream(blob, inflate(blob.chunks(0), make), limits)


def _headers(file: Window | Stream) -> Iterator[tarfile.TarInfo]:
    archive = tarfile.TarFile(
        fileobj=cast("IO[bytes]", file), mode="r", encoding="utf-8", errors="surrogateescape"
    )
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
        yield info
    # tarfile takes a damaged header for the end. The real end is a block of zeros.
    if len(file.last) != _BLOCK or file.last.count(0) != _BLOCK:
        raise EOFError("the archive ends without its end mark")


def _judge(info: tarfile.TarInfo, limits: Limits) -> Member | None:
    if info.isdir():
        return None
    special = ""
    if info.issym() or info.islnk():
        special = "a link"
    elif not info.isreg():
        special = "a device"
    elif info.issparse():
        special = "a sparse file"
    return judge(info.name, info.size, limits, special=special)


@contextmanager
def _damage(blob: Blob, name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        blob.check()  # overwritten while it was read: it was not damaged when it was sealed
        raise Refusal("corrupt_archive", f"{name} is not a whole tar file: {error}") from error


def _raising(refusal: Refusal) -> Fetch:
    def fetch() -> bytes:
        raise refusal

    return fetch


def _returning(data: bytes) -> Fetch:
    return lambda: data

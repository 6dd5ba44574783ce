"""Images inside a tar file, compressed or not: read once from front to back, a piece at a time."""

from __future__ import annotations

import lzma
import tarfile
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Final, cast

from boatseg_core.errors import InputError
from boatseg_core.ingest.sources.archives import Fetch, Limits, Member, Window, judge, usable
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

    Args:
        blob: The file.
        name: What it is called in messages.
        limits: Bounds.

    Raises:
        Refusal: The archive as a whole cannot be used; damage anywhere in it is found here.
    """
    found, count, total = [], 0, 0
    with _damage(blob, name):
        file = _open(blob, name, limits)
        for info in _headers(file):
            count, total = count + 1, total + info.size
            limits.check_count(count)
            limits.check_total(total, max(blob.size, 1))
            member = _judge(info, limits)
            if member is not None:
                found.append(member)
        for _ in file.rest():
            pass
    return usable(found, name)


def reads(
    blob: Blob, name: str, limits: Limits, wanted: Iterable[str]
) -> Iterator[tuple[str, Fetch]]:
    """Yield each wanted member's bytes, or why it is refused, in the archive's order.

    One pass over the archive for any number of members, which ends behind the last of them, and
    where the next call for the same archive goes on: the batches that an archive was sealed into
    are read one after the other. What is not there is left out.

    Raises:
        Refusal: The archive is damaged.
    """
    left = set(wanted)
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


def _pass(begun: _Pass, name: str, limits: Limits, left: set[str]) -> Iterator[tuple[str, Fetch]]:
    """Go on with a pass until nothing is left to be found, taking from ``left`` what is."""
    blob, file = begun.blob, begun.file
    with _damage(blob, name):
        for info in begun.headers:
            member = _judge(info, limits)
            if member is None or member.path not in left:
                continue
            if member.refusal is not None:
                fetch = _raising(member.refusal)
            else:
                file.seek(info.offset_data)
                data = file.take(info.size)
                if len(data) != info.size:
                    raise EOFError("the archive ends too early")
                blob.check()
                fetch = _returning(data)
            left.remove(member.path)
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

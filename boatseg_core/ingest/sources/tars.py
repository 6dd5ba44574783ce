"""Images inside a tar file, compressed or not: read once from front to back, a piece at a time."""

from __future__ import annotations

import bz2
import lzma
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Final, Protocol, cast

from boatseg_core.errors import InputError
from boatseg_core.ingest.sources.archives import Fetch, Limits, Member, Window, judge, usable
from boatseg_core.ingest.sources.base import Blob, Refusal

_BLOCK = 512
_PIECE = 2**20  # most bytes inflated at a time
_SLICE = 128 * 2**10  # packed bytes given to a decompressor at a time
_HEADER = 2**20  # most bytes of an extended header (a long name, attributes)
_LZMA_MEMORY = 256 * 2**20  # xz -9 needs 65 MiB; a hostile stream asks for 4 GiB

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


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the manners of those of bz2 and lzma."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._tail = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._inner.decompress(self._tail + data, max_length)
        self._tail = self._inner.unconsumed_tail
        return out


def _inflater(name: str) -> Callable[[], _Inflater] | None:
    lower = name.lower()
    if lower.endswith((".gz", ".tgz")):
        return _Gzip
    if lower.endswith(".bz2"):
        return bz2.BZ2Decompressor
    if lower.endswith(".xz"):
        return lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    return None


def _inflate(chunks: Iterator[bytes], make: Callable[[], _Inflater]) -> Iterator[bytes]:
    """Inflate a file of one or more streams, to pieces of bounded size.

    Raises:
        EOFError: The file ends inside a stream.
    """
    unit: _Inflater | None = None
    for data in _small(chunks):
        while True:
            if unit is None:
                data = data.lstrip(b"\0")  # padding between and behind streams
                if not data:
                    break
                unit = make()
            piece = unit.decompress(data, _PIECE)
            data = b""
            if piece:
                yield piece
            if unit.eof:
                data, unit = unit.unused_data, None
            elif unit.needs_input:
                break
    if unit is not None:
        raise EOFError("the compressed stream ends too early")


def _small(chunks: Iterator[bytes]) -> Iterator[bytes]:
    # What a decompressor has not used yet is copied at every call.
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE):
            yield chunk[start : start + _SLICE]


class _Stream:
    """A file object over inflated pieces that only goes forward, and counts."""

    def __init__(self, blob: Blob, pieces: Iterator[bytes], limits: Limits) -> None:
        self._blob, self._pieces, self._limits = blob, pieces, limits
        self._place = 0  # of the first byte not yet handed out
        self._given = 0  # bytes inflated so far
        self._held = memoryview(b"")
        self.last = b""

    def read(self, length: int) -> bytes:
        """Read a header."""
        if length > _HEADER:
            raise Refusal("bomb", f"the archive has a header of {length:,} bytes")
        self.last = self.take(length)
        return self.last

    def take(self, length: int) -> bytes:
        """Read a member's data, whose length has been judged already."""
        parts: list[memoryview] = []
        while length and self._fill():
            part = self._held[:length]
            parts.append(part)
            self._held = self._held[len(part) :]
            self._place += len(part)
            length -= len(part)
        return b"".join(parts)

    def seek(self, offset: int) -> int:
        """Go forward to a place; stops at the end."""
        if offset < self._place:
            raise OSError("the archive's headers lead backwards")
        while self._place < offset and self._fill():
            step = min(offset - self._place, len(self._held))
            self._held = self._held[step:]
            self._place += step
        return self._place

    def tell(self) -> int:
        """The present place."""
        return self._place

    def rest(self) -> Iterator[bytes]:
        """What follows, so that the checksum at the end is looked at."""
        while self._fill():
            held, self._held = self._held, memoryview(b"")
            yield bytes(held)

    def _fill(self) -> bool:
        if not self._held:
            self._held = memoryview(next(self._pieces, b""))
            self._given += len(self._held)
            self._limits.check_total(self._given, self._blob.size)
        return bool(self._held)


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
    file: Window | _Stream


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


def _open(blob: Blob, name: str, limits: Limits) -> Window | _Stream:
    make = _inflater(name)
    if make is None:
        return Window(blob, bound=_HEADER, piece=blob.window)
    return _Stream(blob, _inflate(blob.chunks(0), make), limits)


def _headers(file: Window | _Stream) -> Iterator[tarfile.TarInfo]:
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

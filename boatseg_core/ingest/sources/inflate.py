"""Compressed streams: inflated a piece at a time, and counted."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from boatseg_core.ingest.sources.archives import Limits
from boatseg_core.ingest.sources.base import Blob, Refusal

_PIECE = 2**20  # most bytes inflated at a time
_SLICE = 128 * 2**10  # packed bytes given to a decompressor at a time
_LZMA_MEMORY = 256 * 2**20  # xz -9 needs 65 MiB; a hostile stream asks for 4 GiB

HEADER: Final = 2**20
"""Most bytes of an extended header (a long name, attributes)."""


class Inflater(Protocol):
    """A decompressor of the standard library."""

    @property
    def eof(self) -> bool:
        """Whether the end of its stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether it can give nothing more without being given something."""

    @property
    def unused_data(self) -> bytes:
        """What it was given behind the end of its stream."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Inflate to at most so many bytes."""


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


def inflater(name: str) -> Callable[[], Inflater] | None:
    """What inflates a file of this name; ``None`` if it is not compressed."""
    lower = name.lower()
    if lower.endswith((".gz", ".tgz")):
        return _Gzip
    if lower.endswith(".bz2"):
        return bz2.BZ2Decompressor
    if lower.endswith(".xz"):
        return lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    return None


def inflate(chunks: Iterator[bytes], make: Callable[[], Inflater]) -> Iterator[bytes]:
    """Inflate a file of one or more streams, to pieces of bounded size.

    Raises:
        EOFError: The file ends inside a stream.
    """
    unit: Inflater | None = None
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


class Stream:
    """A file object over inflated pieces that only goes forward, and counts."""

    def __init__(self, blob: Blob, pieces: Iterator[bytes], limits: Limits) -> None:
        self._blob, self._pieces, self._limits = blob, pieces, limits
        self._place = 0  # of the first byte not yet handed out
        self._given = 0  # bytes inflated so far
        self._held = memoryview(b"")
        self.last = b""

    def read(self, length: int) -> bytes:
        """Read a header."""
        if length > HEADER:
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

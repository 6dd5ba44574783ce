"""Finds pictures inside a Parquet file of this machine, so that each is read when it is decoded.

A lake writes pictures as they are: not compressed, not in a dictionary. Each of them then stands
whole in the file, and where, its page says. Arrow would copy a row group three times before a
decoder sees it (file, page, column), into memory that is new each time, which cost an eighth of an
epoch; this reads page headers and lengths alone, and a picture once.

Pages of another kind (another writer, compression, a missing picture) are not for this module:
:func:`spans` then says ``None``, and Arrow reads the row group.

Formats: Apache Parquet (https://parquet.apache.org/docs/file-format/data-pages/), whose headers are
in Thrift's compact protocol.
"""

from __future__ import annotations

import os
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_DATA_PAGE, _PLAIN = 0, 0
_HEAD: Final = 512  # bytes read for a page's header; longer ones hold statistics, ours do not
_SMALL: Final = 16_384  # bytes of a value: below it, a page is read whole to find the lengths
_STEP: Final = 131_072  # bytes asked of the kernel ahead at once; it cuts off what is more
_LENGTH: Final = struct.Struct("<I")


class File:
    """A file open for reading, closed when nobody has it any more.

    Attributes:
        size: Its size in bytes.
    """

    def __init__(self, path: str) -> None:
        self._handle = -1
        self._handle = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._handle).st_size

    def __del__(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)

    def read(self, offset: int, size: int) -> bytes:
        """Read so many bytes.

        Raises:
            OSError: They cannot be read, or the file ends before.
        """
        data = os.pread(self._handle, size, offset)
        if len(data) < size:
            raise OSError(f"it ends before byte {offset + size}")
        return data

    def head(self, offset: int) -> bytes:
        """Read what may be a page's header, or less where the file ends."""
        return os.pread(self._handle, _HEAD, offset)

    def will_need(self, offset: int, size: int) -> None:
        """Have the system read a stretch in one go, in the background."""
        if hasattr(os, "posix_fadvise"):
            for start in range(offset, offset + size, _STEP):
                os.posix_fadvise(self._handle, start, _STEP, os.POSIX_FADV_WILLNEED)


def spans(file: File, metadata: Any, group: int, column: str) -> npt.NDArray[np.int64] | None:
    """Find the values of a binary column of a row group.

    Args:
        file: The file.
        metadata: Its footer (``pyarrow.parquet.FileMetaData``).
        group: Number of the row group.
        column: Name of the column.

    Returns:
        int64 ``[rows, 2]``: offset in the file and length of each, in bytes; ``None`` where they
        cannot be found so, for whatever reason.

    Raises:
        OSError: The file cannot be read.
    """
    about = metadata.row_group(group)
    names = [about.column(i).path_in_schema for i in range(about.num_columns)]
    if column not in names:
        return None
    chunk, kind = (part.column(names.index(column)) for part in (about, metadata.schema))
    if (
        chunk.compression != "UNCOMPRESSED"
        or chunk.physical_type != "BYTE_ARRAY"
        or chunk.has_dictionary_page
        or kind.max_repetition_level
        or kind.max_definition_level > 1
    ):
        return None
    at, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
    if not 0 < at <= end <= file.size:
        return None  # a damaged footer: Arrow says what is wrong
    file.will_need(at, end - at)
    found: list[tuple[int, int]] = []
    try:
        while at < end:
            at = _page(file, at, end, found, nullable=kind.max_definition_level == 1)
    except _OtherPage:
        return None
    if len(found) != about.num_rows:
        return None
    return np.array(found, dtype=np.int64).reshape(-1, 2)


class _OtherPage(Exception):
    """Not a page that this module reads."""


def _page(file: File, at: int, end: int, found: list[tuple[int, int]], *, nullable: bool) -> int:
    """Add the values of the page at an offset to ``found``; returns the offset of the next one."""
    head = file.head(at)
    try:
        header, used = _struct(head, 0)
        size, values = header[3], header[5][1]
        plain = header[1] == _DATA_PAGE and header[2] == size and header[5][2] == _PLAIN
        fits = 0 <= size <= end - at - used and 0 < values <= size // 4 + 1
    except (IndexError, KeyError, TypeError):
        raise _OtherPage from None
    if not plain or not fits:
        raise _OtherPage
    at += used
    stop: int = at + size
    if nullable:
        at = _present(file, at, stop, values)
    whole = file.read(at, stop - at) if stop - at < values * _SMALL else None
    start = at
    for _ in range(values):
        if at + 4 > stop:
            raise _OtherPage
        length = (
            int.from_bytes(file.read(at, 4), "little")
            if whole is None
            else _LENGTH.unpack_from(whole, at - start)[0]
        )
        at += 4 + length
        found.append((at - length, length))
    if at != stop:
        raise _OtherPage
    return stop


def _present(file: File, at: int, stop: int, values: int) -> int:
    """Step over the definition levels, which have to say that no value is missing.

    They are runs: a varint, whose lowest bit says whether so many groups of eight bits follow, or
    one byte that stands for so many levels.
    """
    if at + 4 > stop:
        raise _OtherPage
    size = int.from_bytes(file.read(at, 4), "little")
    at += 4
    if size > stop - at:
        raise _OtherPage
    levels, place, left = file.read(at, size), 0, values
    try:
        while left > 0:
            run, place = _varint(levels, place)
            if run & 1:
                count, width = min(left, (run >> 1) * 8), run >> 1
                bits = int.from_bytes(levels[place : place + width], "little")
                whole = (1 << count) - 1
                fine = count > 0 and bits & whole == whole
            else:
                count, width = run >> 1, 1
                fine = count > 0 and levels[place] == 1
            if not fine:
                raise _OtherPage
            place += width
            left -= count
    except IndexError:
        raise _OtherPage from None
    return at + size


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Read a Thrift struct of numbers and structs: its fields by id, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        byte = data[at]
        at += 1
        if byte == 0:
            return fields, at
        kind = byte & 15
        if byte >> 4:
            number += byte >> 4
        else:
            number, at = _zigzag(data, at)
        if kind in (1, 2):
            fields[number] = kind == 1
        elif kind in (4, 5, 6):
            fields[number], at = _zigzag(data, at)
        elif kind == 12:
            fields[number], at = _struct(data, at)
        elif kind == 8:
            size, at = _varint(data, at)
            fields[number] = data[at : at + size]
            at += size
        else:
            raise _OtherPage


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7

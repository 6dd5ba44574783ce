"""Images inside a zip file: read one by one, from any place, in any thread."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Final, cast

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

_HEADER: Final = struct.Struct("<4s5H3L2H")  # local file header, APPNOTE.TXT 4.3.7
_SLACK = 1024  # bytes of a local header's name and extra field, nearly always
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def members(blob: Blob, name: str, limits: Limits) -> list[Member]:
    """List the images of a zip file.

    Args:
        blob: The file.
        name: What it is called in messages.
        limits: Bounds.

    Raises:
        Refusal: The archive as a whole cannot be used.
    """
    return usable([member for member, _ in _directory(blob, name, limits)], name)


def reads(
    blob: Blob, name: str, limits: Limits, wanted: Iterable[str]
) -> Iterator[tuple[str, Fetch]]:
    """Yield a way to read each wanted member, by its path; what is not there is left out.

    Raises:
        Refusal: The archive as a whole cannot be used.
    """
    left = set(wanted)
    for member, info in _directory(blob, name, limits):
        if member.path in left:
            left.remove(member.path)
            yield member.path, _fetch(blob, name, member, info)


def _directory(blob: Blob, name: str, limits: Limits) -> list[tuple[Member, zipfile.ZipInfo]]:
    file = Window(blob, bound=limits.directory_bytes, piece=65_557)
    try:
        with zipfile.ZipFile(cast("IO[bytes]", file)) as archive:
            infos = archive.infolist()
    # Hostile headers make the parser stumble in many ways.
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        struct.error,
        ValueError,
        LookupError,
        OverflowError,
        EOFError,
        OSError,
    ) as error:
        blob.check()
        raise Refusal("corrupt_archive", f"{name} is not a whole zip file: {error}") from error
    limits.check_count(len(infos))
    limits.check_total(sum(info.file_size for info in infos), blob.size)
    found = []
    for info in infos:
        if info.is_dir():
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        special = "" if kind in (0, stat.S_IFREG) else "a link or a device"
        member = judge(
            info.filename,
            info.file_size,
            limits,
            special=special,
            encrypted=bool(info.flag_bits & _ENCRYPTED),
        )
        if member is not None:
            if member.refusal is None and info.compress_type not in _METHODS:
                refusal = Refusal(
                    "unsupported_member",
                    f"the member {info.filename!r} is packed with method {info.compress_type}: "
                    "only stored and deflated ones are read",
                )
                member = member._replace(refusal=refusal)
            found.append((member, info))
    return _unambiguous(found, name)


def _unambiguous(
    found: list[tuple[Member, zipfile.ZipInfo]], name: str
) -> list[tuple[Member, zipfile.ZipInfo]]:
    """Keep one member a name; refused, where several have it and are not the same."""
    by_path: dict[str, list[tuple[Member, zipfile.ZipInfo]]] = {}
    for member, info in found:
        by_path.setdefault(member.path, []).append((member, info))
    kept = []
    for path, same in by_path.items():
        member, info = same[0]
        if len({(other.file_size, other.CRC) for _, other in same}) > 1:
            member = member._replace(refusal=ambiguous(path, name))
        kept.append((member, info))
    return kept


def _fetch(blob: Blob, name: str, member: Member, info: zipfile.ZipInfo) -> Fetch:
    def fetch() -> bytes:
        if member.refusal is not None:
            raise member.refusal
        try:
            data = _read(blob, info)
        except (ValueError, zlib.error) as error:
            blob.check()
            raise Refusal(
                "corrupt_archive", f"the member {info.filename!r} of {name} is damaged: {error}"
            ) from error
        blob.check()
        return data

    return fetch


def _read(blob: Blob, info: zipfile.ZipInfo) -> bytes:
    """Read and inflate one member, never to more than the size it was listed with.

    Raises:
        ValueError: Header and content do not agree.
        zlib.error: The stream is damaged.
    """
    size, packed_size = info.file_size, info.compress_size
    # Deflate never grows data by more than a few bytes in a thousand.
    if packed_size > size + size // 64 + 1024:
        raise ValueError(f"{packed_size:,} packed bytes cannot be {size:,} unpacked ones")
    # One read for header and data: on an object store each costs a round trip.
    piece = blob.read(info.header_offset, _HEADER.size + _SLACK + packed_size)
    if len(piece) < _HEADER.size or piece[:4] != b"PK\3\4":
        raise ValueError("its header is not where the directory says")
    *_, name_length, extra_length = _HEADER.unpack_from(piece)
    begin = _HEADER.size + name_length + extra_length
    if begin > _HEADER.size + _SLACK:
        packed = blob.read(info.header_offset + begin, packed_size)
    else:
        packed = piece[begin : begin + packed_size]
    if info.compress_type == zipfile.ZIP_STORED:
        data = packed
    else:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflater.decompress(packed, size + 1)
    if len(data) != size:
        raise ValueError(f"it unpacks to other than the {size:,} bytes its header says")
    if zlib.crc32(data) != info.CRC:
        raise ValueError("its checksum is wrong")
    return data

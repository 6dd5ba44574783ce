"""Archives for tests: honest ones, and every kind that is meant to do harm."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}
"""Endings of tar files, and what packs them."""

KINDS = (".zip", *PACKERS)


def archive(kind: str, members: Mapping[str, bytes]) -> bytes:
    """Pack members into an archive of a kind, in their order."""
    if kind == ".zip":
        return zipped(members)
    return PACKERS[kind](tarred([(tarfile.TarInfo(name), data) for name, data in members.items()]))


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def tarred(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as file:
        for info, data in members:
            if info.isreg():
                info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """A member that is no plain file: a link, a device."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def lying_zip(name: str, data: bytes, claimed: int) -> bytes:
    """A zip file whose headers claim another unpacked size than the member has."""
    packed = zipped({name: data})
    true, lie = struct.pack("<L", len(data)), struct.pack("<L", claimed)
    local = packed.index(b"PK\3\4") + 22
    central = packed.index(b"PK\1\2") + 24
    assert packed[local : local + 4] == packed[central : central + 4] == true
    patched = bytearray(packed)
    patched[local : local + 4] = patched[central : central + 4] = lie
    return bytes(patched)


def overlapping_zip(count: int, size: int) -> bytes:
    """A zip file of many members that are all the same packed zeros (like 42.zip's successors)."""
    packed = zipped({"0.jpg": bytes(size)})
    start = packed.index(b"PK\1\2")
    end = packed.index(b"PK\5\6")
    body, entry = packed[:start], bytearray(packed[start:end])
    directory = b""
    for number in range(count):
        name = f"{number:05}.jpg".encode()
        copy = bytearray(entry[:46]) + name
        copy[28:30] = struct.pack("<H", len(name))
        directory += bytes(copy)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + tail

"""What zip files and tar files have in common: names, bounds, and what is never taken.

Nothing is ever unpacked to disk, and no header is believed: every byte is counted as it is
inflated.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from boatseg_core.config.sections import Landing
from boatseg_core.ingest.sources.base import Blob, Refusal

SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""Endings of the archives that are read, in lower case."""

TEMPORARY: Final = (".tmp", ".part", ".partial", ".crdownload", ".swp")
"""Endings of files that are still being written."""

# Archives of other kinds are members like any other unless their ending says what they are.
_NESTED: Final = (*SUFFIXES, ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")
# Blank pictures pack well: a small archive may have any ratio.
_HARMLESS: Final = 64 * 2**20

Fetch: TypeAlias = Callable[[], bytes]
"""Reads one file's bytes, or raises the :class:`Refusal`; may be called in any thread."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one archive, with the endings that count as images.

    Attributes:
        suffixes: Endings of images, in lower case.
        member_bytes: Most bytes of one member.
        total_bytes: Most bytes of all members together.
        ratio: Most times the archive's size that all members together may have.
        members: Most members.
    """

    suffixes: tuple[str, ...]
    member_bytes: int
    total_bytes: int
    ratio: float
    members: int

    @classmethod
    def of(cls, landing: Landing) -> Limits:
        """Take them from the settings."""
        return cls(
            suffixes=tuple(suffix.lower() for suffix in landing.suffixes),
            member_bytes=landing.max_bytes,
            total_bytes=landing.archive_max_bytes,
            ratio=landing.archive_max_ratio,
            members=landing.archive_max_members,
        )

    @property
    def directory_bytes(self) -> int:
        """Most bytes of headers held at once."""
        return max(2**20, 160 * self.members)

    def check_total(self, unpacked: int, packed: int) -> None:
        """Refuse an archive that holds, or has already given, too much."""
        if unpacked > self.total_bytes:
            raise Refusal(
                "bomb",
                f"the archive unpacks to more than the {self.total_bytes:,} bytes of "
                "landing.archive_max_bytes",
            )
        if unpacked > max(_HARMLESS, self.ratio * packed):
            raise Refusal(
                "bomb",
                f"the archive unpacks to more than {self.ratio:g} times its {packed:,} bytes "
                "(landing.archive_max_ratio)",
            )

    def check_count(self, members: int) -> None:
        """Refuse an archive with too many members."""
        if members > self.members:
            raise Refusal(
                "bomb",
                f"the archive has more than the {self.members:,} members of "
                "landing.archive_max_members",
            )


class Member(NamedTuple):
    """One member that is an image by its name, or would be if it were safe.

    Attributes:
        path: Its path below the archive, made harmless: it names no place outside it.
        size: Unpacked size in bytes, as its header says.
        refusal: Why it is not taken; ``None`` if it may be.
    """

    path: str
    size: int
    refusal: Refusal | None


def judge(
    name: str, size: int, limits: Limits, *, special: str = "", encrypted: bool = False
) -> Member | None:
    """Decide on one member by its header.

    Args:
        name: Its name as the archive has it.
        size: Its unpacked size as the header says.
        limits: Bounds.
        special: What it is if it is no plain file, for example 'a link'.
        encrypted: Whether it is encrypted.

    Returns:
        The member, or ``None`` if its name is of no interest.
    """
    path, fault = _harmless(name)
    last = path.rpartition("/")[2].lower()
    nested = last.endswith(_NESTED)
    hidden = last.startswith(".") or "__MACOSX" in path.split("/")
    if hidden or last.endswith(TEMPORARY) or not (nested or last.endswith(limits.suffixes)):
        return None
    if fault:
        refusal = Refusal("unsafe_member", f"the member {name!r} {fault}")
    elif special:
        refusal = Refusal("unsafe_member", f"the member {name!r} is {special}")
    elif nested:
        refusal = Refusal(
            "nested_archive", f"the member {name!r} is an archive itself: unpack it beside this one"
        )
    elif encrypted:
        refusal = Refusal("encrypted", f"the member {name!r} is encrypted")
    elif size > limits.member_bytes:
        refusal = Refusal(
            "too_many_bytes",
            f"the member {name!r} has {size:,} bytes, more than the {limits.member_bytes:,} of "
            "landing.max_bytes",
        )
    else:
        return Member(path, size, None)
    return Member(path, size, refusal)


def _harmless(name: str) -> tuple[str, str]:
    """Spell a name so that it cannot lead anywhere, and say what was wrong with it."""
    fault = ""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        name = name.encode("utf-8", "backslashreplace").decode("ascii", "replace")
        fault = "has a name that is not UTF-8"
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or parts[0].endswith(":"):
        fault = "has an absolute name"
    if ".." in parts:
        fault = "has a name that leads out of the archive"
    if "\0" in name:
        fault = "has a name with a zero byte"
    if fault:
        name = name.replace("\\", "/").replace("\0", "%00")
        if name.startswith("/"):
            name = f"%2F{name[1:]}"
        name = "/".join("%2E%2E" if part == ".." else part for part in name.split("/"))
    return "/".join(part for part in name.split("/") if part not in ("", ".")), fault


def ambiguous(path: str, archive: str) -> Refusal:
    """Refuse a name that several members have which are not the same.

    Programs differ in which of them they unpack.
    """
    return Refusal(
        "duplicate_member",
        f"{archive} holds {path} more than once with different contents, and which one is meant is "
        "not known: pack it anew",
    )


def usable(members: list[Member], archive: str) -> list[Member]:
    """Refuse an archive that as a whole is of no use, else return its members.

    Raises:
        Refusal: It has no images, or only encrypted ones.
    """
    if not members:
        raise Refusal("no_images", f"{archive} holds no images")
    if all(member.refusal and member.refusal.reason == "encrypted" for member in members):
        raise Refusal("encrypted", f"all images in {archive} are encrypted: pack it without")
    return members


class Window:
    """A file object over a blob, for the header parsers of the standard library.

    It holds a small piece at a time, and refuses to read more in one go than a header may have: the
    parsers ask for whatever a header claims.

    Args:
        blob: The archive.
        bound: Most bytes of one read.
        piece: Bytes read ahead.
    """

    def __init__(self, blob: Blob, *, bound: int, piece: int) -> None:
        self._blob, self._bound, self._piece = blob, bound, piece
        self._place = 0
        self._start, self._held = 0, b""
        self.last = b""

    def read(self, length: int = -1) -> bytes:
        """Read at the present place."""
        length = self._blob.size - self._place if length < 0 else length
        if length > self._bound:
            raise Refusal("bomb", f"the archive has a header of {length:,} bytes")
        self.last = self.take(length)
        return self.last

    def take(self, length: int) -> bytes:
        """Read a member's data, whose length has been judged already."""
        begin = self._place - self._start
        if not 0 <= begin <= begin + length <= len(self._held):
            self._start, begin = self._place, 0
            self._held = self._blob.read(self._place, max(length, self._piece))
        data = self._held[begin : begin + length]
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._blob.size}[whence]
        if base + offset < 0:
            raise OSError("before the start of the archive")
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """The present place."""
        return self._place

    def seekable(self) -> bool:
        """Every place can be gone to."""
        return True

    def rest(self) -> Iterator[bytes]:
        """Nothing behind the archive's end matters when it is not compressed."""
        return iter(())

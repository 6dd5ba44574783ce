"""Images in a folder of this machine, or of a disk mounted on it."""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path

from boatseg_core.errors import InputError
from boatseg_core.ingest.sources.base import Entry, Refusal, Row, Source

_CHUNK = 2**20
# A folder may have become a file, or a file a folder.
_GONE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
# These say something about this machine or the disk's connection, and nothing about a file.
_NOT_THE_FILES_FAULT = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
}


class LocalSource(Source):
    """A folder, with all folders below it.

    Links to files are followed; links to folders are not, so that no loop has a chance. Hidden
    folders are left out.

    Args:
        name: Name in the ledger.
        root: The folder.
    """

    readers = 0

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self._prefix = f"{root}/"

    def check(self) -> None:
        """Raise if the folder cannot be listed; see :meth:`Source.check`."""
        try:
            os.scandir(self.root).close()
        except OSError as error:
            raise InputError(
                f"the images folder {self.root} cannot be read: {error.strerror}; connect its disk "
                "or create it, then try again"
            ) from error

    def listing(self, after: str = "") -> Iterator[Entry]:
        """List the files in the byte order of their paths; see :meth:`Source.listing`.

        A folder without permission is an entry with an error, whose path ends in ``/``.
        """
        # Names still to be handed out, folder by folder from the root down, last one first. A
        # folder's name ends in "/", which also sorts it where the paths of its files belong.
        names, error = self._names("", after)
        if error:
            self.check()
        pending = [("", names)]
        skip = len(self._prefix)
        while pending:
            folder, names = pending[-1]
            if not names:
                pending.pop()
                continue
            base = self._prefix + folder
            while names:
                name = names.pop()
                if name[-1] == "/":
                    inner, error = self._names(folder + name, after)
                    if error:
                        yield Entry(folder + name, error=error)
                    pending.append((folder + name, inner))
                    break
                path = base + name
                try:
                    found = os.stat(path)  # noqa: PTH116 (a Path a file halves the speed)
                except FileNotFoundError:
                    continue  # gone since it was listed (a finished temporary file), or dangling
                except OSError as failure:  # one bad entry must not stop all the others
                    yield Entry(folder + name, error=failure.strerror or str(failure))
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield Entry(path[skip:], found.st_size, found.st_mtime_ns)

    def _names(self, folder: str, after: str) -> tuple[list[str], str]:
        """Names in a folder that may lie behind a path, descending; and why there are none."""
        names: list[str] = []
        try:
            with os.scandir(self._prefix + folder) as entries:
                for entry in entries:
                    name = entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if name[0] != ".":
                            names.append(f"{name}/")
                    else:
                        names.append(name)
        except FileNotFoundError:
            return [], "" if folder else "No such file or directory"
        except OSError as failure:
            return [], failure.strerror or str(failure)
        if after:
            names = [
                name
                for name in names
                if (path := folder + name) > after or (name[-1] == "/" and after.startswith(path))
            ]
        names.sort(reverse=True)
        return names, ""

    def open(self, path: str, size: int, mtime_ns: int, etag: str) -> LocalBlob:
        """Open a file as it was sealed; see :meth:`Source.open`."""
        file = self.root / path
        try:
            # A pipe of the same name, put there since, must not be waited for.
            handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as failure:
            raise self._refusal(file, failure) from failure
        blob = LocalBlob(self, file, handle, size, mtime_ns)
        try:
            blob.check()
        except Refusal:
            blob.close()
            raise
        return blob

    def fetch(self, row: Row) -> bytes:
        """Read a whole file as it was sealed; see :meth:`Source.fetch`."""
        blob = self.open(row["path"], row["size_bytes"], row["mtime_ns"], row["etag"])
        try:
            # One byte more: a file that grows while it is read is found out.
            data = blob.read(0, row["size_bytes"] + 1)
            blob.check()
        finally:
            blob.close()
        if len(data) != row["size_bytes"]:
            raise blob.changed()
        return data

    def locate(self, path: str) -> str:
        """Absolute path of a file."""
        return str(self.root / path)

    def _refusal(self, file: Path, failure: OSError) -> Refusal | InputError:
        if isinstance(failure, _GONE):
            self.check()  # a disk disconnected meanwhile takes all its files with it
            return Refusal("vanished", f"{file} was deleted after it was sealed")
        text = failure.strerror or str(failure)
        if failure.errno in _NOT_THE_FILES_FAULT:
            return InputError(f"{file} cannot be read: {text}; run its batch again")
        return Refusal(
            "unreadable",
            f"{file} cannot be read: {text}; make it readable, and it is asked for again",
        )


class LocalBlob:
    """A file opened as it was sealed; see :class:`boatseg_core.ingest.sources.base.Blob`."""

    window = 16 * 2**10

    def __init__(
        self, source: LocalSource, file: Path, handle: int, size: int, mtime_ns: int
    ) -> None:
        self.size = size
        self.key = str(file), size, mtime_ns, ""
        self._source, self._file, self._handle, self._mtime_ns = source, file, handle, mtime_ns
        # Members of an archive are read by many threads: the last one to let go closes it.
        self._close = weakref.finalize(self, os.close, handle)

    def read(self, offset: int, length: int) -> bytes:
        """Read some bytes; fewer only at the end."""
        pieces: list[bytes] = []
        while length > 0:
            try:
                piece = os.pread(self._handle, length, offset)
            except OSError as failure:
                raise self._source._refusal(self._file, failure) from failure
            if not piece:
                break
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def chunks(self, offset: int) -> Iterator[bytes]:
        """Read from a place to the end."""
        while piece := self.read(offset, _CHUNK):
            yield piece
            offset += len(piece)

    def check(self) -> None:
        """Raise if the file is no longer what was sealed."""
        found = os.fstat(self._handle)
        if stat.S_ISDIR(found.st_mode):
            raise Refusal("vanished", f"{self._file} was deleted after it was sealed")
        if (found.st_size, found.st_mtime_ns) != (self.size, self._mtime_ns):
            raise self.changed()

    def changed(self) -> Refusal:
        """The refusal of a file that was overwritten."""
        # Its new content is a new file to the next discovery; this batch must not swallow it.
        head = os.pread(self._handle, 64, 0) if self.is_file() else b""
        return Refusal("changed", f"{self._file} was changed after it was sealed", head)

    def is_file(self) -> bool:
        """Whether it is a plain file, which can be read at any place."""
        return stat.S_ISREG(os.fstat(self._handle).st_mode)

    def close(self) -> None:
        """Let go of it."""
        self._close()

"""A bounded folder of cache files that processes share.

Files come into being by an atomic rename and are never changed. Reading touches a file; when the
folder is over its bound, those not touched for longest go. Who fetches a file holds a lock on its
name, so that two processes that need the same one fetch it once. Losing any file, or all of them,
costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from boatseg_core.errors import InputError

log = logging.getLogger(__name__)

_MAGIC: Final = b"boatseg1"
_TAIL: Final = 4 + len(_MAGIC)  # checksum and magic, at the end
_LOCKS: Final = 64


class Shelf:
    """Files of bytes by key, least recently used ones dropped first.

    Args:
        folder: Folder; created.
        bound: Most bytes in it. Files being written come on top.
    """

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder = folder
        self.bound = bound
        self._said = False
        make_folder(folder)

    def get(self, key: str, fetch: Callable[[], memoryview]) -> memoryview:
        """Read a file; fetch it if it is not there or damaged.

        Args:
            key: Name of the file, safe in a path.
            fetch: Gets the bytes.
        """
        found = self._read(key)
        if found is not None:
            return found
        with contextlib.ExitStack() as stack:
            try:
                # A few locks for all keys: a lock file of each would outlive what it is for.
                name = f".lock-{zlib.crc32(key.encode()) % _LOCKS:02}"
                stack.enter_context(locked(self.folder / name))
            except OSError as error:  # somebody else's folder, a disk mounted to be read
                self._say(error)
                return fetch()
            found = self._read(key)
            if found is not None:  # another process has fetched it while we waited
                return found
            data = fetch()
            self._write(key, data)
        return data

    def _read(self, key: str) -> memoryview | None:
        path = self.folder / key
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("cache file %s cannot be read: %s", path, error)
            return None
        body, tail = memoryview(data)[:-_TAIL], data[-_TAIL:]
        if len(data) < _TAIL or tail != _tail(body):
            log.warning("cache file %s is damaged: it is fetched again", path)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        # It may have been dropped by another process meanwhile, or be somebody else's.
        with contextlib.suppress(OSError):
            os.utime(path)
        return body

    def _write(self, key: str, data: memoryview) -> None:
        if data.nbytes + _TAIL > self.bound:
            return
        part = self.folder / f".{key}.{os.getpid()}.part"
        try:
            with part.open("wb") as file:
                file.write(data)
                file.write(_tail(data))
            part.replace(self.folder / key)
            self._drop()
        except OSError as error:
            self._say(error)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _say(self, error: OSError) -> None:
        """Say once that nothing is kept: a training can do without the cache."""
        if not self._said:
            self._said = True
            log.warning("the cache in %s cannot be written: %s", self.folder, error)

    def _drop(self) -> None:
        """Delete what was not used for longest, until the bound is kept."""
        with locked(self.folder / ".lock"):
            files = []
            for path in self.folder.iterdir():
                if path.name.startswith("."):
                    _forget_abandoned(path)
                    continue
                with contextlib.suppress(FileNotFoundError):
                    stat = path.stat()
                    files.append((stat.st_mtime_ns, stat.st_size, path))
            total = sum(size for _, size, _ in files)
            for _, size, path in sorted(files):
                if total <= self.bound:
                    return
                # Whoever has it open reads on.
                path.unlink(missing_ok=True)
                total -= size


def make_folder(folder: Path) -> None:
    """Make a cache folder.

    Raises:
        InputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache folder {folder} cannot be made ({error}): name another with cache= or the "
            "variable BOATSEG_CACHE"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes (and threads, since each opens the file anew)."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _tail(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little") + _MAGIC


def _forget_abandoned(path: Path) -> None:
    """Delete the unfinished file of a process that is no more."""
    words = path.name.split(".")
    if words[-1] != "part" or not words[-2].isdigit():
        return
    try:
        os.kill(int(words[-2]), 0)
    except ProcessLookupError:
        path.unlink(missing_ok=True)
    except PermissionError:  # somebody else's, and alive
        pass

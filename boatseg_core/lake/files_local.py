"""The files of a lake on this machine."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from boatseg_core.errors import LakeError, LakeUnusable
from boatseg_core.lake.files import Entry

LOCK = "_lock"
"""File below the lake's root that commits lock together and repairs alone."""

_PATIENCE = 30.0  # s that a repair waits for the commits of others
_POLL = 0.02  # s
_SILENCE = 1.0  # s of waiting before it is said what for
# EBADF: NFS locks nothing alone that was opened to be read.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}
_START_WRITING = 2  # SYNC_FILE_RANGE_WRITE of <fcntl.h>

_log = logging.getLogger(__name__)


class LocalFiles:
    """Files of this machine.

    Args:
        root: Folder.
        durable: Whether to wait for the disk.
    """

    def __init__(self, root: Path, *, durable: bool) -> None:
        self.root = root
        self.durable = durable
        self._alone = False

    def walk(self, folder: str) -> Iterator[Entry]:
        """Every file below a folder."""
        for base, _, names in os.walk(self.root / folder):
            for name in names:
                file = Path(base, name)
                try:
                    found = file.stat()
                except FileNotFoundError:  # a temporary file of a commit going on
                    continue
                yield Entry(
                    file.relative_to(self.root).as_posix(),
                    found.st_size,
                    datetime.fromtimestamp(found.st_mtime, UTC),
                )

    def read(self, path: str) -> bytes:
        """All of a file."""
        return (self.root / path).read_bytes()

    def is_empty(self, path: str) -> bool:
        """Whether a file is there and has no bytes."""
        try:
            return (self.root / path).stat().st_size == 0
        except FileNotFoundError:
            return False

    def source(self, path: str) -> Any:
        """The file's name."""
        return str(self.root / path)

    @contextmanager
    def creating(self, path: str) -> Iterator[Any]:
        """Context of a new file's sink."""
        file = self.root / path
        made = not file.parent.is_dir()
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with pa.OSFile(str(file), "wb") as sink:
                yield sink
        except BaseException:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            raise
        if made:  # the new folder's own name
            self._sync(file.parent.parent)

    def start_sync(self, sink: pa.OSFile) -> None:
        """Begin to bring a new file to the disk.

        Otherwise the kernel keeps the pages of a batch until the commit waits for all of them, and
        the disk stands still while pictures are decoded.
        """
        if self.durable and _sync_file_range is not None:
            # Its result is of no interest: an error of the disk is reported by the sync.
            _sync_file_range(sink.fileno(), 0, 0, _START_WRITING)

    def write(self, path: str, data: bytes) -> None:
        """Write a small file as a whole."""
        self._write(path, data, Path.replace)

    def create(self, path: str, data: bytes) -> None:
        """Write a small file as a whole, unless it is there."""
        # A link, unlike a new name, never takes the place of what is there.
        self._write(path, data, lambda part, file: file.hardlink_to(part))

    def _write(self, path: str, data: bytes, publish: Callable[[Path, Path], object]) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}.part")
        try:
            part.write_bytes(data)
            self._sync(part)
            publish(part, file)
        finally:
            part.unlink(missing_ok=True)
        self._sync(file.parent)

    def move(self, path: str, to: str) -> None:
        """Rename a file; at any instant it has one of the two names."""
        target = self.root / to
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).rename(target)
        self._sync(target.parent)
        self._sync((self.root / path).parent)

    def delete(self, path: str) -> None:
        """Delete a file."""
        (self.root / path).unlink(missing_ok=True)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Context of one commit."""
        if self._alone:
            yield
            return
        with self._lock_file() as lock:
            with suppress(_Unlockable):
                self._wait_for_repair(lock)
            yield

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Context in which no other process commits."""
        with self._lock_file() as lock:
            try:
                self._wait(lock)
                locked = True
            except _Unlockable:
                locked = False
            self._alone = True
            try:
                yield locked
            finally:
                self._alone = False

    def _wait_for_repair(self, lock: int) -> None:
        """Lock together with other commits, however long somebody else is alone."""
        silent_until = time.monotonic() + _SILENCE
        while time.monotonic() < silent_until:
            with suppress(BlockingIOError):
                return _lock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            time.sleep(_POLL)
        _log.warning(
            "waiting: the lake %s is being repaired (boatseg lake doctor), and what is written to "
            "it goes on when that is done",
            self.root,
        )
        return _lock(lock, fcntl.LOCK_SH)

    def _wait(self, lock: int) -> None:
        begun = time.monotonic()
        end, silent_until = begun + _PATIENCE, begun + _SILENCE
        while True:
            try:
                return _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise LakeError(
                        f"the lake {self.root} was not repaired, since other processes keep "
                        "committing to it or repair it: try again, or end them first"
                    ) from error
                if time.monotonic() > silent_until:
                    silent_until = end
                    _log.warning(
                        "waiting up to %.0f s for other processes to finish their commits to the "
                        "lake %s, or their repair of it",
                        _PATIENCE,
                        self.root,
                    )
                time.sleep(_POLL)

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        """The lock's file; what is locked is free again when it is closed, however that happens."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = self._open_lock(os.O_RDWR)
        except OSError as error:
            raise LakeUnusable(
                f"the lake {self.root} cannot be written to: {error.strerror}; make room, make it "
                "writable, or connect its disk"
            ) from error
        try:
            yield lock
        finally:
            # Said, for a process that was forked meanwhile has the file open, too.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    def _open_lock(self, mode: int) -> int:
        try:
            return os.open(self.root / LOCK, mode | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:
            if mode == os.O_RDONLY:
                raise
            return self._open_lock(os.O_RDONLY)  # somebody else's file; only NFS minds

    def sync(self, paths: Sequence[str]) -> None:
        """Wait until files and the folders they are in are on the disk."""
        if not self.durable:
            return
        files = [self.root / path for path in paths]
        for file in [*files, *dict.fromkeys(file.parent for file in files)]:
            self._sync(file)

    def _sync(self, path: Path) -> None:
        if not self.durable:
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _Unlockable(Exception):
    """The file system has no locks."""


def _lock(lock: int, how: int) -> None:
    try:
        fcntl.flock(lock, how)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise _Unlockable from error
        raise


def _system_call() -> Any:
    """``sync_file_range`` of Linux, which Python does not have; ``None`` elsewhere."""
    try:
        call = ctypes.CDLL(None).sync_file_range
    except (AttributeError, OSError, TypeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return call


_sync_file_range = _system_call()

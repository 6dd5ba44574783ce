"""Decoded images on disk: later epochs read pixels instead of decoding them again.

One file of records of one size, one record a row of the split, and beside it an index of
checksums. A record is read with one ``preadv`` straight into the batch: the file is not mapped,
since mapped pages would count as memory of the process. Records are written after they were first
decoded; a record without its checksum in the index is not there. Several processes may fill and
read one store: they write the same bytes, and a checksum that does not fit is a record to decode
again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import PIL
from PIL import features

from boatseg_core.dataset.loader.shelf import locked, make_folder
from boatseg_core.imaging.scaled import RECIPE

U8 = npt.NDArray[np.uint8]

log = logging.getLogger(__name__)

_THERE: Final = np.uint64(1 << 32)  # beside the checksum in an entry of the index


class Decoded:
    """Decoded images and masks of one split, at one size.

    Args:
        folder: Folder of all such stores; created.
        facts: What the pixels follow from: lake, data files, split.
        rows: Rows of the split.
        shapes: Shape of the image and of the mask; empty for one that is not kept.
        bound: Most bytes of all stores together. The first rows of a split that does not fit are
            kept; stores of others that nobody has open go first.
    """

    def __init__(
        self,
        folder: Path,
        facts: dict[str, Any],
        rows: int,
        shapes: tuple[tuple[int, ...], ...],
        bound: int,
    ) -> None:
        self._sizes = [int(np.prod(shape)) for shape in shapes]
        self.record = sum(self._sizes)
        self.rows = min(rows, bound // self.record)
        known = facts | {
            "shapes": shapes,
            "rows": self.rows,
            "recipe": RECIPE,
            "pillow": PIL.__version__,
            "jpeg": features.version("libjpeg_turbo") or features.version("jpg"),
        }
        name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:24]
        make_folder(folder)
        self.folder = folder / name
        self._bound = bound
        self._verified = np.zeros(self.rows, dtype=np.bool_)
        self._full = False
        self._pixels, self._index = self._open()
        self._pid = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind."""
        return self.__dict__ | {"_pixels": -1, "_index": None, "_pid": 0}

    def there(self, rows: int) -> npt.NDArray[np.bool_]:
        """Which of the split's rows are kept, bool ``[rows]``."""
        self._reopen()
        found = np.zeros(rows, dtype=np.bool_)
        found[: self.rows] = self._index != 0
        return found

    def read(self, row: int, image: U8 | None, mask: U8 | None) -> bool:
        """Read a record.

        Args:
            row: Row of the split.
            image: Filled, uint8 ``[H, W, 3]``, contiguous.
            mask: Filled, uint8 ``[H, W]``, contiguous.

        Returns:
            Whether it was there and whole; else the arrays hold nothing of use.
        """
        if row >= self.rows:
            return False
        entry = self._index[row]
        if entry == 0:
            return False
        parts = [part.data for part in (image, mask) if part is not None]
        got = os.preadv(self._pixels, parts, row * self.record)
        # Once a process: later reads come from the same pages of memory.
        if self._verified[row] and got == self.record:
            return True
        if got != self.record or _entry(parts) != entry:
            log.warning("decoded image %d in %s is damaged: decoded again", row, self.folder)
            if not self._full:
                self._index[row] = 0
            return False
        self._verified[row] = True
        return True

    def write(self, row: int, image: U8 | None, mask: U8 | None) -> None:
        """Keep a record; a full disk is said once and ends the keeping."""
        if row >= self.rows or self._full:
            return
        parts = [part.data for part in (image, mask) if part is not None]
        try:
            wrote = os.pwritev(self._pixels, parts, row * self.record)
        except OSError as error:
            self._full = True
            log.warning("decoded images can no longer be kept in %s: %s", self.folder, error)
            return
        if wrote == self.record:
            self._index[row] = _entry(parts)
            self._verified[row] = True

    def close(self) -> None:
        """Close the files."""
        if self._pixels >= 0:
            os.close(self._pixels)
            self._pixels = -1

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            if self._pid == os.getpid():
                self.close()

    def _reopen(self) -> None:
        if self._pid != os.getpid():  # in another process: its lock and its files are its own
            self._pixels, self._index = self._open()
            self._pid = os.getpid()

    def _open(self) -> tuple[int, Any]:
        try:
            return self._open_to_write()
        except OSError as error:  # a full disk, somebody else's folder, a disk mounted to be read
            self._full = True
            log.warning("decoded images cannot be kept in %s: %s", self.folder, error)
        try:
            index = np.memmap(self.folder / "index", dtype=np.uint64, mode="r")
            if len(index) >= self.rows:
                return os.open(self.folder / "pixels", os.O_RDONLY), index[: self.rows]
        except (OSError, ValueError):  # nobody has filled it: nothing is there
            pass
        return -1, np.zeros(self.rows, dtype=np.uint64)

    def _open_to_write(self) -> tuple[int, Any]:
        with locked(self.folder.parent / ".lock"), contextlib.ExitStack() as undo:
            self._make_room()
            self.folder.mkdir(exist_ok=True)
            pixels = os.open(self.folder / "pixels", os.O_RDWR | os.O_CREAT, 0o644)
            undo.callback(os.close, pixels)
            # Held until it is closed: a store that somebody has open is not deleted.
            fcntl.flock(pixels, fcntl.LOCK_SH)
            os.utime(self.folder)
            index = self.folder / "index"
            size = max(1, self.rows) * 8
            if not index.exists() or index.stat().st_size != size:
                index.write_bytes(bytes(size))
            entries = np.memmap(index, dtype=np.uint64, mode="r+")[: self.rows]
            undo.pop_all()
        return pixels, entries

    def _make_room(self) -> None:
        """Delete stores that were not opened for longest, until this one fits under the bound."""
        others = [p for p in self.folder.parent.iterdir() if p.is_dir() and p != self.folder]
        used = {path: _size(path) for path in others}
        excess = sum(used.values()) + self.rows * self.record - self._bound
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns):
            if excess <= 0:
                return
            if _unused(path):
                shutil.rmtree(path, ignore_errors=True)
                excess -= used[path]
        if excess > 0:
            log.warning(
                "the decoded images in %s are %d MB over their bound, since all are in use",
                self.folder.parent,
                excess // 1_000_000,
            )


def _entry(parts: list[memoryview]) -> np.uint64:
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    return _THERE | np.uint64(total)


def _size(folder: Path) -> int:
    """Bytes on the disk: the file has holes where nothing was written."""
    try:
        return (folder / "pixels").stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _unused(folder: Path) -> bool:
    try:
        handle = os.open(folder / "pixels", os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True

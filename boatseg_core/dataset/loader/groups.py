"""Reads pictures of gold, from a lake elsewhere through a cache on this machine's disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs

from boatseg_core.dataset.loader import pages
from boatseg_core.dataset.loader.index import Index, Parts, open_parts, reading
from boatseg_core.dataset.loader.shelf import Shelf
from boatseg_core.errors import ImageError, InputError
from boatseg_core.lake import Lake


class Encoded(NamedTuple):
    """The pictures of one row as they are stored.

    Attributes:
        image: The file's bytes; ``None`` if nobody asked for images.
        mask: The mask picture's bytes; ``None`` if nobody asked for masks.
    """

    image: bytes | None
    mask: bytes | None


Spans = dict[str, npt.NDArray[np.int64]]
"""Where the pictures of a row group stand in its file: per column int64 ``[rows, 2]``, offset and
length in bytes."""


class Stored(NamedTuple):
    """Where the pictures of one row stand in a file of this machine.

    Attributes:
        file: Number of the file.
        image: Offset and length of the image; ``None`` if nobody asked for images.
        mask: Offset and length of the mask picture, or the picture itself where it is small;
            ``None`` if nobody asked for masks.
    """

    file: int
    image: tuple[int, int] | None
    mask: tuple[int, int] | bytes | None


_SMALL: Final = 4096  # bytes of a mask: where they are smaller, many are read at once
_OPEN_FILES: Final = 32  # kept open: a file may hold one row group that is wanted, or hundreds


class Groups:
    """The row groups of one split. Can be sent to another process.

    Of a file of this machine only the places of its pictures are read ahead; each picture is read
    when it is decoded. What Arrow has to read is copied out of the row group.

    Args:
        lake: The lake.
        parts: The opened files of gold.
        index: The split.
        blobs: ``image``, ``mask`` or both.
        cache: Folder of the row groups of remote lakes.
        cache_bytes: Its bound; 0 for no cache.
    """

    def __init__(
        self,
        lake: Lake,
        parts: Parts,
        index: Index,
        blobs: tuple[str, ...],
        cache: Path,
        cache_bytes: int,
    ) -> None:
        self._lake = lake
        self._parts: Parts | None = parts
        self._index = index
        self._blobs = blobs
        self._cache, self._cache_bytes = cache, cache_bytes
        self._remote = "://" in lake.root
        self._shelf: Shelf | None = None
        self._paths: dict[int, str | None] = {}
        self._file = lru_cache(_OPEN_FILES)(pages.File)

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind; they are opened anew when they are needed."""
        lake = Lake(self._lake.root, self._lake.storage_options, durable=self._lake.durable)
        kept = {name: value for name, value in self.__dict__.items() if name != "_file"}
        return kept | {"_lake": lake, "_parts": None, "_shelf": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without open files."""
        self.__dict__.update(state)
        self._file = lru_cache(_OPEN_FILES)(pages.File)

    @property
    def remote(self) -> bool:
        """Whether the lake is not on this machine's disks."""
        return self._remote

    def read(self, group: int, row: int) -> Encoded:
        """Read the pictures of one row, whose row group is not at hand."""
        return self.pictures(self.rows(group, self.open(group), [row])[row])

    def open(self, group: int) -> Spans | pa.Table:
        """Find the pictures of a row group, or read them if they cannot be read one by one.

        Raises:
            LakeError: The file is gone or damaged.
        """
        if not self._remote:
            spans = self._spans(group)
            return self._fetch(group) if spans is None else spans
        if not self._cache_bytes:
            return self._fetch(group)
        if self._shelf is None:
            self._shelf = Shelf(self._cache / "row-groups", self._cache_bytes)
        # A data file is never changed and its name never used again.
        path = self._index.files[self._index.group_file[group]]
        number = self._index.group_number[group]
        facts = f"{self._lake.root}|{path}|{number}|{','.join(self._blobs)}"
        key = hashlib.sha256(facts.encode()).hexdigest()[:32]
        data = self._shelf.get(key, lambda: _to_ipc(self._fetch(group)))
        return pa.ipc.open_file(pa.py_buffer(data)).read_all()

    def rows(
        self, group: int, opened: Spans | pa.Table, rows: Iterable[int]
    ) -> dict[int, Encoded | Stored]:
        """Take rows out of a row group, which can be let go then.

        Args:
            group: Number of the row group.
            opened: What :meth:`open` returned for it.
            rows: Rows of the index, all of this row group.

        Returns:
            Their pictures, or where they stand, by row.

        Raises:
            ImageError: A row has no picture; the message names it.
        """
        wanted = list(rows)
        places = self._index.row[wanted]
        if isinstance(opened, pa.Table):
            columns = [opened[n] if n in self._blobs else None for n in ("image", "mask")]
            return {
                row: Encoded(*(self._bytes(column, place, row) for column in columns))
                for row, place in zip(wanted, places.tolist(), strict=True)
            }
        file = int(self._index.group_file[group])
        nothing = [None] * len(wanted)
        images: Sequence[tuple[int, int] | None] = nothing
        masks: Sequence[tuple[int, int] | bytes | None] = nothing
        if "image" in opened:
            images = _pairs(opened["image"][places])
        if "mask" in opened:
            masks = self._masks(file, opened["mask"][places])
        return {
            row: Stored(file, image, mask)
            for row, image, mask in zip(wanted, images, masks, strict=True)
        }

    def pictures(self, row: Encoded | Stored) -> Encoded:
        """Read what was only found yet.

        Raises:
            LakeError: The file is gone or damaged.
        """
        if isinstance(row, Encoded):
            return row
        number, image, mask = row
        with reading(self._index.version, self._index.files[number]):
            read = self._local(number).read
            return Encoded(
                None if image is None else read(*image),
                read(*mask) if isinstance(mask, tuple) else mask,
            )

    def _masks(
        self, number: int, spans: npt.NDArray[np.int64]
    ) -> Sequence[tuple[int, int]] | list[bytes]:
        """Read masks that are small all at once; of others say where they stand."""
        start, end = int(spans[:, 0].min()), int(spans.sum(axis=1).max())
        if end - start > len(spans) * _SMALL:
            return _pairs(spans)
        with reading(self._index.version, self._index.files[number]):
            data = self._local(number).read(start, end - start)
        return [data[at - start : at - start + size] for at, size in spans.tolist()]

    def _bytes(self, column: pa.ChunkedArray | None, place: int, row: int) -> bytes | None:
        if column is None:
            return None
        buffer = column[place].as_buffer()
        if buffer is None:
            raise ImageError(
                "empty",
                f"gold image {self._index.image_id(row)} of version {self._index.version} "
                "has no picture in its row",
            )
        return bytes(buffer)

    def _local(self, number: int) -> pages.File:
        """A file of this machine, open."""
        path = self._path(number)
        assert path is not None
        return self._file(path)

    def _path(self, number: int) -> str | None:
        """Path of a file that lies on this machine; ``None`` of one that does not."""
        if number not in self._paths:  # asked for every picture
            self._paths[number] = self._find(number)
        return self._paths[number]

    def _find(self, number: int) -> str | None:
        part = self._open().files[number]
        where = part.filesystem
        if isinstance(where, fs.SubTreeFileSystem) and isinstance(
            where.base_fs, fs.LocalFileSystem
        ):
            return str(where.base_path + part.path)
        return None

    def _spans(self, group: int) -> Spans | None:
        number = int(self._index.group_file[group])
        with reading(self._index.version, self._index.files[number]):
            path = self._path(number)
            if path is None:
                return None
            file, footer = self._file(path), self._open().files[number].metadata
            at = int(self._index.group_number[group])
            found = {}
            for name in self._blobs:
                span = pages.spans(file, footer, at, name)
                if span is None:
                    return None
                found[name] = span
            return found

    def _fetch(self, group: int) -> pa.Table:
        with reading(self._index.version, self._index.files[self._index.group_file[group]]):
            parts = self._open()
            part = parts.files[self._index.group_file[group]]
            unit = part.subset(row_group_ids=[int(self._index.group_number[group])])
            return unit.to_table(
                schema=parts.schema,
                columns=list(self._blobs),
                use_threads=False,
                # Requests are worth joining only where they wait; of a file of this machine the
                # row group would be in memory twice.
                fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=self._remote),
                # Gives row groups back to the system at once; Arrow's own pool keeps some.
                memory_pool=pa.system_memory_pool(),
            )

    def _open(self) -> Parts:
        if self._parts is None:
            self._parts = open_parts(self._lake, self._index.version)
        if self._remote and self._parts.process != os.getpid():
            # The client of the object store has threads, which a fork does not take along.
            raise InputError(
                "a lake in an object store cannot be read by forked worker processes: leave out "
                "num_workers (images are decoded in threads already), or give the DataLoader "
                "multiprocessing_context='spawn'"
            )
        return self._parts


def _pairs(spans: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    return [(at, size) for at, size in spans.tolist()]


def _to_ipc(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())

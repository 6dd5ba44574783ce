"""Reads row groups of gold, from a lake elsewhere through a cache on this machine's disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from boatseg_core.dataset.loader.index import Index, Parts, open_parts, reading
from boatseg_core.dataset.loader.shelf import Shelf
from boatseg_core.errors import ImageError, InputError
from boatseg_core.lake import Lake


@dataclass(frozen=True, slots=True)
class Encoded:
    """The pictures of one row as they are stored.

    Attributes:
        image: The file's bytes; ``None`` if nobody asked for images.
        mask: The mask picture's bytes; ``None`` if nobody asked for masks.
    """

    image: bytes | None
    mask: bytes | None


class Groups:
    """The row groups of one split. Can be sent to another process.

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

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind; they are opened anew when they are needed."""
        lake = Lake(self._lake.root, self._lake.storage_options, durable=self._lake.durable)
        return self.__dict__ | {"_lake": lake, "_parts": None, "_shelf": None}

    @property
    def remote(self) -> bool:
        """Whether the lake is not on this machine's disks."""
        return self._remote

    def read(self, group: int, rows: Iterable[int]) -> dict[int, Encoded]:
        """Read rows of one row group: :meth:`table`, then :meth:`rows`."""
        return self.rows(self.table(group), rows)

    def rows(self, table: pa.Table, rows: Iterable[int]) -> dict[int, Encoded]:
        """Copy rows out of a row group, which can be let go then.

        Args:
            table: The row group.
            rows: Rows of the index, all of this row group.

        Returns:
            Their pictures by row.

        Raises:
            ImageError: A row has no picture; the message names it.
        """
        columns = [table[name] if name in self._blobs else None for name in ("image", "mask")]
        found = {}
        for row in rows:
            place = int(self._index.row[row])
            found[row] = Encoded(*(self._bytes(c, place, row) for c in columns))
        return found

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

    def table(self, group: int) -> pa.Table:
        """Read one row group.

        Raises:
            LakeError: The file is gone or damaged.
        """
        if not (self._remote and self._cache_bytes):
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


def _to_ipc(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())

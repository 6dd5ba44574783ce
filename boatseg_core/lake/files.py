"""The files below a lake's root, on this machine or in an object store, behind one interface.

Writers put data files here before a commit names them; upkeep and the doctor look at logs and data
below what delta-rs shows of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Entry:
    """A file.

    Attributes:
        path: Path below the lake's root, with forward slashes.
        size: Size in bytes.
        modified: Time of last modification.
    """

    path: str
    size: int
    modified: datetime


class Files(Protocol):
    """Files below a root; every path is relative to it, with forward slashes."""

    durable: bool

    def walk(self, folder: str) -> Iterator[Entry]:
        """Every file below a folder, at any depth; none where the folder does not exist."""

    def read(self, path: str) -> bytes:
        """All of a file.

        Raises:
            FileNotFoundError: It is not there.
        """

    def is_empty(self, path: str) -> bool:
        """Whether a file is there and a loss of power has left it without its bytes."""

    def source(self, path: str) -> Any:
        """Something that pyarrow's Parquet reader opens."""

    def creating(self, path: str) -> Any:
        """Context of a new file's sink; a file that could not be finished is not left behind."""

    def start_sync(self, sink: Any) -> None:
        """Begin to bring to the disk what a new file holds by now, and do not wait for it.

        Nothing is promised: it is :meth:`sync` that has less to wait for later.
        """

    def write(self, path: str, data: bytes) -> None:
        """Write a small file so that a reader sees all of it or none of it."""

    def create(self, path: str, data: bytes) -> None:
        """Write a small file that must not be there yet, whoever else tries at the same time.

        Raises:
            FileExistsError: It is there.
        """

    def move(self, path: str, to: str) -> None:
        """Give a file another name; the folder of the new one is made."""

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""

    def committing(self) -> AbstractContextManager[None]:
        """Context of one commit, or of one change to a log.

        Many processes may be in it, while none is :meth:`alone`. Whoever is alone may commit, too.
        """

    def alone(self) -> AbstractContextManager[bool]:
        """Context in which no other process commits, for repairs.

        Returns:
            Whether that is so: an object store and some network file systems cannot lock.

        Raises:
            LakeError: Other processes keep committing, or another repair is going on.
        """

    def sync(self, paths: Sequence[str]) -> None:
        """Return when these files, and their names, would outlive a loss of power."""


def open_files(root: str, storage_options: dict[str, str], *, durable: bool) -> Files:
    """Open the files below a root.

    Args:
        root: Folder or object store URI.
        storage_options: Options of the object store, as delta-rs names them.
        durable: Whether :meth:`Files.sync` waits for the disk of this machine.
    """
    # Imported here: each of the two knows this module.
    if "://" not in root:
        from boatseg_core.lake.files_local import LocalFiles

        return LocalFiles(Path(root), durable=durable)
    from boatseg_core.lake.files_store import ObjectFiles, open_store

    return ObjectFiles(open_store(root, storage_options))

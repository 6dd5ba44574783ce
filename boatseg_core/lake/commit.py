"""Commit files to a table, one version at a time, so that a loss of power breaks nothing.

delta-rs writes a log entry and links it into place without waiting for the disk. Around that:

1. data files are on the disk before the entry that names them is written;
2. the entry that a new one builds on is on the disk before the new one is written;
3. the new entry is on the disk before the caller hears of it.

So at any instant only the newest entry of a log can be lost or torn, nobody was told of it, and
nothing that is on the disk depends on it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, PostCommitHookProperties, RemoveAction

from boatseg_core.errors import LakeError, LakeUnusable
from boatseg_core.lake.files import Files

CHECKPOINT_EVERY = 100
"""Versions between two checkpoints of a log."""
_LONGEST_WAIT = 1.0  # s
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


_log = logging.getLogger(__name__)


class Lost(Exception):
    """Another process committed what makes this commit impossible."""


def log_entry(name: str, version: int) -> str:
    """Path of a table's log entry below the lake's root."""
    return f"{name}/_delta_log/{version:020d}.json"


def active_files(table: DeltaTable) -> pl.DataFrame:
    """The data files of an opened version: path, size_bytes, num_records, partition.*."""
    frame = pl.from_arrow(pa.table(table.get_add_actions(flatten=True)))
    assert isinstance(frame, pl.DataFrame)
    return frame


def commit(
    files: Files,
    name: str,
    table: DeltaTable,
    reopen: Callable[[], DeltaTable],
    adds: list[AddAction],
    *,
    removes: Callable[[DeltaTable], list[RemoveAction]] | None = None,
    app: Callable[[DeltaTable], CommitProperties | None] | None = None,
    metadata: dict[str, str] | None = None,
    attempts: int = 50,
) -> int | None:
    """Commit new files as the next version, or as a later one if others are faster.

    Args:
        files: Files of the lake.
        name: The table's name.
        table: The version the rows were made from.
        reopen: Opens the newest version.
        adds: The files, durable already.
        removes: Given the very table object that commits: the files that go in the same commit.
            Raises :class:`Lost` when what they were is no longer so.
        app: Given the very table object that commits: the properties of the commit, or ``None``
            when nothing is to be committed any more.
        metadata: What the commit says of itself.
        attempts: Versions to try for.

    Returns:
        The new version; ``None`` when ``app`` said so.

    Raises:
        Lost: ``removes`` said so, or every attempt was lost.
        LakeUnusable: The newest log entry is empty.
    """
    for attempt in range(attempts):
        with files.committing():
            done = _attempt(files, name, table, adds, removes=removes, app=app, metadata=metadata)
            if not isinstance(done, CommitFailedError):
                return done
            table = reopen()
            if adds and {add.path for add in adds} <= set(active_files(table)["path"]):
                # A store that answers a repeated request says so of our own commit, too.
                return settle(files, name, table.version())
        if attempt == attempts - 1:
            raise Lost(str(done)) from done
        # Full jitter: competing writers spread out instead of colliding again in step.
        time.sleep(random.uniform(0, min(_LONGEST_WAIT, 0.02 * 2**attempt)))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _attempt(
    files: Files,
    name: str,
    table: DeltaTable,
    adds: list[AddAction],
    *,
    removes: Callable[[DeltaTable], list[RemoveAction]] | None,
    app: Callable[[DeltaTable], CommitProperties | None] | None,
    metadata: dict[str, str] | None,
) -> int | CommitFailedError | None:
    """Commit as the very next version; see :func:`commit`."""
    version = table.version()
    properties = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
    if app is not None:
        given = app(table)
        if given is None:
            return None
        properties = given
    gone = [] if removes is None else removes(table)
    build_upon(files, name, version)
    try:
        table.create_write_transaction(
            [*adds, *gone],
            "append",
            table.schema(),
            table.metadata().partition_columns,
            commit_properties=properties,
            post_commithook_properties=NO_HOOKS,
        )
    except CommitFailedError as error:
        return error
    return settle(files, name, version + 1)


def build_upon(files: Files, name: str, version: int) -> None:
    """Make sure that a log entry is whole and on the disk before a new one builds on it.

    Raises:
        LakeUnusable: It is empty.
    """
    if files.is_empty(log_entry(name, version)):
        # delta-rs takes it for a version that changed nothing. Built upon, what it held would be
        # lost for good.
        raise LakeUnusable(
            f"version {version} in the log of table {name} is empty, as a loss of power leaves it: "
            "run `boatseg lake doctor --repair`, then this again"
        )
    with suppress(FileNotFoundError):  # cleaned away: a checkpoint stands for it
        files.sync([log_entry(name, version)])


def files_of_batch(table: DeltaTable, batch_id: str) -> Callable[[DeltaTable], list[RemoveAction]]:
    """Removal of a batch's files, as long as they are those of the table as it is now."""
    before = _of_batch(table, batch_id)

    def removes(now: DeltaTable) -> list[RemoveAction]:
        found = before if now.version() == table.version() else _of_batch(now, batch_id)
        if found.keys() != before.keys():
            raise Lost(f"version {now.version()} has other files of the batch")
        at = int(time.time() * 1000)
        return [
            RemoveAction(path, True, at, size, {"batch_id": batch_id})
            for path, size in found.items()
        ]

    return removes


def _of_batch(table: DeltaTable, batch_id: str) -> dict[str, int]:
    """Sizes of the files of a batch, by path."""
    found = active_files(table)
    if found.is_empty():
        return {}
    found = found.filter(pl.col("partition.batch_id") == batch_id)
    return dict(found.select("path", "size_bytes").iter_rows())


def settle(files: Files, name: str, version: int) -> int:
    """Wait until a log entry is on the disk.

    Returns:
        Its version.
    """
    files.sync([log_entry(name, version)])
    return version


def checkpoint(files: Files, name: str, reopen: Callable[[], DeltaTable]) -> None:
    """Write what a version holds as one file, so that a reader need not replay the log.

    It is opened where no repair can come in between: one that takes commits back would find them
    again in a checkpoint of what was there before.
    """
    with files.committing():
        table = reopen()
        table.create_checkpoint()
        log = f"{name}/_delta_log"
        files.sync([f"{log}/{table.version():020d}.checkpoint.parquet", f"{log}/_last_checkpoint"])


def checkpoint_when_due(
    files: Files, name: str, reopen: Callable[[int], DeltaTable], version: int
) -> None:
    """Write a checkpoint every so many versions; one that fails harms nothing but speed."""
    if version == 0 or version % CHECKPOINT_EVERY:
        return
    try:
        checkpoint(files, name, lambda: reopen(version))
    except (DeltaError, OSError, LakeError) as error:
        _log.warning("table %s has no checkpoint at version %s: %s", name, version, error)

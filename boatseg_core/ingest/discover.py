"""Find image files in the landing folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.lake import Lake

_TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", ".swp")


@dataclass(frozen=True)
class Discovery:
    """What one look at the landing folder found.

    Attributes:
        new: One row a file that is not in the ledger: ``source``, ``path``, ``image_id``,
            ``size_bytes``, ``mtime_ns``, ``etag``; sorted by path.
        listed: Image files seen.
        known: Of these, files that are in the ledger unchanged.
        unsettled: Files so young that they may still be being written; they wait.
        ignored: Files that are not images by their ending.
        unnameable: Files whose names are not UTF-8 and cannot be stored in a table.
        unreadable: Image files that cannot be looked at (a link in a loop, a link to a folder
            without permission), each with the reason.
    """

    new: pl.DataFrame
    listed: int
    known: int
    unsettled: int
    ignored: int
    unnameable: tuple[str, ...]
    unreadable: tuple[str, ...]


def source_of(settings: Settings) -> str:
    """Name of the landing folder in the ledger.

    The home's own folder is 'landing', so that a home can be moved; another folder is its path.
    """
    return str(settings.images_folder) if settings.landing.images else "landing"


def root_of(source: str, settings: Settings) -> Path:
    """Folder that a source of the ledger stands for; the inverse of :func:`source_of`.

    Raises:
        InputError: The source is not a path.
    """
    if source == "landing":
        return settings.paths.landing / "images"
    if source == source_of(settings) or Path(source).is_absolute():
        return Path(source)
    raise InputError(f"the ledger names the landing folder {source!r}, which is not a path")


def discover(lake: Lake, settings: Settings, *, ledger_version: int | None = None) -> Discovery:
    """List the landing folder and keep what the ledger does not have.

    A file is known by its path, size and time of modification: an overwritten file is new again.

    Args:
        lake: The lake with the ledger.
        settings: Landing folder, file endings and settle time.
        ledger_version: Delta version of the ledger to compare with; by default the newest.

    Raises:
        InputError: A folder of the user's own choosing does not exist or cannot be listed.
    """
    root = settings.images_folder
    if not root.is_dir():
        if settings.landing.images:
            raise InputError(f"the images folder {root} does not exist or is not a folder")
        return Discovery(_frame([], ""), 0, 0, 0, 0, (), ())
    suffixes = tuple(s.lower() for s in settings.landing.suffixes)
    settle = int(settings.landing.settle_seconds * 1e9)
    rows: list[tuple[str, int, int]] = []
    unsettled = ignored = 0
    unnameable: list[str] = []
    unreadable: list[str] = []
    for path, stat in _walk(root):
        name = path.rpartition("/")[2].lower()
        if name.startswith(".") or name.endswith(_TEMPORARY) or not name.endswith(suffixes):
            ignored += 1
        elif not _is_utf8(path):
            unnameable.append(os.fsencode(path).decode("utf-8", "backslashreplace"))
        elif isinstance(stat, OSError):
            unreadable.append(f"{path}: {stat.strerror}")
        # Also shortly ahead of our clock (a file server's may be): young all the same. A time far
        # ahead is a wrong one and must not hold the file back until then.
        elif abs(time.time_ns() - stat.st_mtime_ns) < settle:
            unsettled += 1
        else:
            rows.append((path, stat.st_size, stat.st_mtime_ns))
    found = _frame(rows, source_of(settings))
    ledger = lake.scan("files", ledger_version).select("source", "path", "size_bytes", "mtime_ns")
    new = (
        found.lazy()
        .join(ledger, on=["source", "path", "size_bytes", "mtime_ns"], how="anti")
        .sort("path")
        .collect()
    )
    return Discovery(
        new=new,
        listed=len(rows) + unsettled,
        known=found.height - new.height,
        unsettled=unsettled,
        ignored=ignored,
        unnameable=tuple(unnameable),
        unreadable=tuple(sorted(unreadable)),
    )


def _frame(rows: list[tuple[str, int, int]], source: str) -> pl.DataFrame:
    schema = {"path": pl.String, "size_bytes": pl.Int64, "mtime_ns": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").select(
        pl.lit(source).alias("source"),
        "path",
        pl.col("path").alias("image_id"),
        "size_bytes",
        "mtime_ns",
        pl.lit("").alias("etag"),
    )


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result | OSError]]:
    """Yield every file below a folder as a POSIX path relative to it, with its facts.

    A file that cannot be looked at comes with the error instead.

    Links to folders are not followed (no loops); links to files are.
    """
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            entries = list(os.scandir(root / prefix))
        except OSError as error:
            raise InputError(
                f"the folder {root / prefix} cannot be listed: {error.strerror}"
            ) from error
        for entry in entries:
            path = f"{prefix}{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("."):
                        pending.append(f"{path}/")
                elif entry.is_file():
                    yield path, entry.stat()
            except FileNotFoundError:
                continue  # gone since it was listed (a finished temporary file): nothing to ingest
            except OSError as error:  # one bad entry must not stop all the others
                yield path, error


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

"""The tables a query sees: one Delta version of each, and what was read of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from boatseg_core.errors import InputError, LakeError
from boatseg_core.lake.log import list_log, newest_first
from boatseg_core.lake.schemas import TABLES
from boatseg_core.lake.store import Lake

_ALL = re.compile(r"\b(show|information_schema)\b", re.IGNORECASE)


@dataclass
class TableRead:
    """What a query read of one table.

    Attributes:
        version: Delta version.
        columns: Columns that were asked for; none where rows were only counted.
        files: Data files that the query's filters left.
        of_files: Data files of the version.
        of_bytes: Their size together.
    """

    version: int
    columns: list[str] = field(default_factory=list)
    files: int = 0
    of_files: int = 0
    of_bytes: int = 0


@dataclass
class Stats:
    """What a query cost.

    Attributes:
        seconds: Time from the first read to the last row.
        rows: Rows of the result.
        bytes_read: What this process really read from files meanwhile, cached or not; ``None``
            where the system does not count it, or the lake is not on this machine.
        tables: By table.
    """

    seconds: float = 0.0
    rows: int = 0
    bytes_read: int | None = None
    tables: dict[str, TableRead] = field(default_factory=dict)


class Snapshot(ds.FileSystemDataset):  # type: ignore[misc]  # pyarrow ships no types
    """A dataset whose scans with pictures read a little ahead instead of a lot.

    Measured behind a reader that stops after its first rows, on 2 GB of 100 kB pictures: Arrow's
    defaults go on to read all of it, these settings stop at 0.3 GB.
    """

    blobs: frozenset[str] = frozenset()
    read: TableRead

    def options(self, columns: list[str] | None) -> dict[str, Any]:
        """Options of a scan of these columns; ``None`` for all."""
        if not self.blobs.intersection(self.schema.names if columns is None else columns):
            return {}
        return {
            "batch_size": 64,
            "batch_readahead": 2,
            "fragment_readahead": 1,
            # By default the wanted columns of a whole file are fetched before its first row.
            "fragment_scan_options": ds.ParquetFragmentScanOptions(pre_buffer=False),
        }

    def scanner(self, *args: Any, **options: Any) -> ds.Scanner:
        """Scan; DuckDB comes through here with the columns and the filter of its query."""
        columns = options.get("columns")
        self.read.columns = sorted({*self.read.columns, *(columns or ())})
        left = sum(1 for _ in self.get_fragments(options.get("filter")))
        self.read.files = max(self.read.files, left)
        return super().scanner(*args, **{**options, **self.options(columns)})


def open_snapshots(
    lake: Lake, sql: str, versions: Mapping[str, int], at: datetime | None
) -> tuple[dict[str, Snapshot], dict[str, pa.Table]]:
    """Open the tables that a statement can mean.

    Args:
        lake: The lake.
        sql: The statement; a table whose name does not occur in it is not opened.
        versions: Delta versions to pin, by table.
        at: Every other table is opened as it was at this time, by default at its newest version.

    Returns:
        The snapshots by name, and the tables that were not written yet: empty, with the columns
        that they will have.

    Raises:
        InputError: A pinned table is none of the lake's, or a table is younger than ``at``.
        LakeError: A version does not exist.
    """
    unknown = sorted(set(versions) - set(TABLES))
    if unknown:
        raise InputError(f"no table is called {unknown[0]!r}: there are {', '.join(TABLES)}")
    snapshots, unwritten = {}, {}
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    for name in TABLES:
        if name not in versions and not lake.exists(name):
            unwritten[name] = TABLES[name].schema.empty_table()
            continue
        version, named = versions.get(name), name in words
        if version is None and at is not None:
            version = version_at(lake, name, at)
            if version is None and named:
                raise InputError(
                    f"table {name} did not exist yet at {at:%Y-%m-%d %H:%M:%S}: name a later time"
                )
            if version is None:
                continue
        if named or name in versions or _ALL.search(sql):
            snapshots[name] = _open(lake, name, version)
    return snapshots, unwritten


def _open(lake: Lake, name: str, version: int | None) -> Snapshot:
    table = lake.table(name, version)
    opened = lake.dataset(name, table.version())
    fragments = list(opened.get_fragments())
    snapshot = Snapshot(fragments, opened.schema, opened.format, opened.filesystem)
    snapshot.blobs = frozenset(TABLES[name].blobs)
    sizes = table.get_add_actions(flatten=True).column("size_bytes").to_pylist()
    snapshot.read = TableRead(table.version(), of_files=len(fragments), of_bytes=sum(sizes))
    return snapshot


def version_at(lake: Lake, name: str, when: datetime) -> int | None:
    """Delta version that a table had at a time; ``None`` before it was created.

    Args:
        lake: The lake.
        name: The table, which exists.
        when: The time; without a zone it is UTC.

    Raises:
        LakeError: The log does not reach back so far.
    """
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    log = list_log(lake.files, name)
    for version, _, at in newest_first(lake.files, log):
        if at <= when:
            return version
    if 0 in log.entries:
        return None
    raise LakeError(
        f"the log of table {name} no longer reaches back to {when:%Y-%m-%d %H:%M:%S %Z}: "
        f"its oldest entry is version {min(log.entries, default=log.newest)}"
    )


def bytes_read() -> int | None:
    """Bytes this process has read so far, cached or not; ``None`` where nobody counts."""
    try:
        for line in Path("/proc/self/io").read_text().splitlines():
            if line.startswith("rchar: "):
                return int(line.split()[1])
    except OSError:
        pass
    return None

"""What a table's transaction log holds as files, without replaying it.

File names are those of the Delta protocol
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md#delta-log-entries).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq

from boatseg_core.lake.commit import log_entry
from boatseg_core.lake.files import Entry, Files

LAST_CHECKPOINT = "_last_checkpoint"
_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\b.*\.(?:parquet|json)")
_CHECKSUM = re.compile(r"\d{20}\.crc|\d{20}\.\d{20}\.compacted\.json")


class Torn(ValueError):
    """A log entry that cannot be read: empty, cut off, or overwritten."""


@dataclass
class Log:
    """The files of a log.

    Attributes:
        name: The table.
        entries: Log entries by version.
        checkpoints: Checkpoint files by version.
        pointer: The file that names the newest checkpoint, if there is one.
        leftovers: Files that interrupted commits left behind.
    """

    name: str
    entries: dict[int, Entry] = field(default_factory=dict)
    checkpoints: dict[int, list[Entry]] = field(default_factory=dict)
    pointer: Entry | None = None
    leftovers: list[Entry] = field(default_factory=list)

    @property
    def newest(self) -> int:
        """Newest version that has a log entry or a checkpoint; -1 for an empty log."""
        return max([*self.entries, *self.checkpoints], default=-1)


def list_log(files: Files, name: str) -> Log:
    """List the files of a table's log."""
    log = Log(name)
    for found in files.walk(f"{name}/_delta_log"):
        file = found.path.rpartition("/")[2]
        if match := _ENTRY.fullmatch(file):
            log.entries[int(match[1])] = found
        elif match := _CHECKPOINT.fullmatch(file):
            log.checkpoints.setdefault(int(match[1]), []).append(found)
        elif file == LAST_CHECKPOINT:
            log.pointer = found
        elif not _CHECKSUM.fullmatch(file):
            log.leftovers.append(found)
    return log


def read_actions(files: Files, name: str, version: int) -> list[dict[str, Any]]:
    """Read a log entry.

    Returns:
        Its actions, one a line.

    Raises:
        Torn: It is empty, or a line of it is no action.
        FileNotFoundError: It is not there.
    """
    text = files.read(log_entry(name, version))
    if not text.strip():
        raise Torn("it is empty")
    actions = []
    for number, line in enumerate(text.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            action = json.loads(line)
        except ValueError as error:
            raise Torn(f"line {number} is cut off or overwritten") from error
        if not isinstance(action, dict) or not action:
            raise Torn(f"line {number} is no action")
        actions.append(action)
    if not any("commitInfo" in action or "protocol" in action for action in actions):
        raise Torn("it does not say what it committed")
    return actions


def committed_at(actions: list[dict[str, Any]], entry: Entry) -> datetime:
    """When an entry was committed: as it says, else when its file was written."""
    for action in actions:
        stamp = action.get("commitInfo", {}).get("timestamp")
        if isinstance(stamp, int):
            return datetime.fromtimestamp(stamp / 1000, UTC)
    return entry.modified


def newest_first(
    files: Files, log: Log, *, tolerant_below: int = 0
) -> Iterator[tuple[int, list[dict[str, Any]], datetime]]:
    """Versions with their actions and times, from the newest back.

    Args:
        files: Files of the lake.
        log: The log.
        tolerant_below: Damaged entries of versions below this one are passed over.

    Raises:
        Torn: An entry is damaged.
    """
    for version in sorted(log.entries, reverse=True):
        try:
            actions = read_actions(files, log.name, version)
        except Torn:
            if version < tolerant_below:
                continue
            raise
        yield version, actions, committed_at(actions, log.entries[version])


def transactions(files: Files, log: Log) -> list[str]:
    """Names of all application transactions of a log that can be replayed, sorted."""
    base = max(log.checkpoints, default=-1)
    found: set[str] = set()
    for entry in log.checkpoints.get(base, []):
        with pq.ParquetFile(files.source(entry.path)) as file:
            column = file.read(columns=["txn.appId"]).column("txn")
        found |= {value["appId"] for value in column.to_pylist() if value and value["appId"]}
    for version in log.entries:
        if version > base:
            actions = read_actions(files, log.name, version)
            found |= {action["txn"]["appId"] for action in actions if "txn" in action}
    return sorted(found)

"""Repair what can be repaired without a decision; keep a copy of whatever is taken away."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from deltalake import CommitProperties, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import RemoveAction

from boatseg_core.errors import LakeError
from boatseg_core.lake.commit import Lost, active_files, checkpoint, commit, log_entry
from boatseg_core.lake.doctor.finding import Finding
from boatseg_core.lake.log import list_log, transactions
from boatseg_core.lake.store import Lake

ASIDE = "_doctor"
"""Folder below the lake's root that holds what was set aside."""


@dataclass(frozen=True)
class Repaired:
    """One repair.

    Attributes:
        finding: What was repaired.
        done: What was done, in a sentence.
        aside: Where the copies are, below the lake's root.
    """

    finding: Finding
    done: str
    aside: tuple[str, ...] = ()


def repair(lake: Lake, findings: Sequence[Finding], *, rewind: bool = False) -> list[Repaired]:
    """Repair the findings that a repair can get over.

    Each table is left readable or as it was. Nothing is deleted but temporary files of interrupted
    commits: files are moved below ``_doctor`` with their paths.

    Args:
        lake: The lake.
        findings: What :func:`boatseg_core.lake.doctor.examine` found.
        rewind: Also take a table whose log is broken in the middle back to its last whole version.

    Raises:
        LakeError: The disk refuses, or a process has written to the table meanwhile.
    """
    folder = f"{ASIDE}/{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z"
    done: list[Repaired] = []
    for finding in findings:
        if finding.remedy != "safe" and not (rewind and finding.remedy == "rewind"):
            continue
        try:
            done.append(_one(lake, finding, folder))
        except (DeltaError, OSError, Lost) as error:
            raise LakeError(
                f"table {finding.table} could not be repaired ({finding.what}): {error}"
            ) from error
    return done


def _one(lake: Lake, finding: Finding, folder: str) -> Repaired:
    match finding.kind:
        case "torn_commit" if _is_followed(lake, finding) and finding.remedy == "safe":
            return _say_empty(lake, finding, folder)
        case "torn_commit" | "gap":
            return _rewind(lake, finding, folder)
        case "bad_checkpoint":
            return _checkpoint(lake, finding, folder)
        case "bad_pointer":
            return Repaired(finding, "set aside", _aside(lake, finding.paths, folder))
        case "leftover":
            for path in finding.paths:
                lake.files.delete(path)
            return Repaired(finding, f"{len(finding.paths)} temporary files deleted")
        case "missing_file" | "corrupt_file":
            return _drop_file(lake, finding, folder)
    raise AssertionError(f"nothing is known to repair {finding.kind}")


def _aside(lake: Lake, paths: Sequence[str], folder: str) -> tuple[str, ...]:
    moved = []
    for path in paths:
        lake.files.move(path, f"{folder}/{path}")
        moved.append(f"{folder}/{path}")
    return tuple(moved)


def _is_followed(lake: Lake, finding: Finding) -> bool:
    entries = list_log(lake.files, finding.table).entries
    return finding.version is not None and finding.version < max(entries, default=-1)


def _say_empty(lake: Lake, finding: Finding, folder: str) -> Repaired:
    """Put a version that says that it changed nothing in place of one that is empty."""
    (path,) = finding.paths
    assert finding.version is not None
    kept = f"{folder}/{path}"
    lake.files.write(kept, lake.files.read(path))
    lake.files.write(log_entry(finding.table, finding.version), _nothing())
    _fill(lake, finding.table, [list_log(lake.files, finding.table).newest + 1])
    return Repaired(finding, "a version that changes nothing took its place", (kept,))


def _nothing() -> bytes:
    """A log entry that changes nothing."""
    info = {"timestamp": int(time.time() * 1000), "operation": "REPAIR", "operationParameters": {}}
    return json.dumps({"commitInfo": info}).encode() + b"\n"


def _fill(lake: Lake, name: str, versions: Sequence[int]) -> None:
    """Write versions that change nothing.

    No number is ever given to other rows: whoever remembers what a version held would be wrong.

    Raises:
        Lost: Somebody else has committed one of them meanwhile; it is left as it is.
    """
    for version in versions:
        try:
            lake.files.create(log_entry(name, version), _nothing())
        except FileExistsError as error:
            raise _grown(version) from error


def _grown(version: int) -> Lost:
    return Lost(
        f"another process has committed version {version} meanwhile, which was left as it is: end "
        "whatever writes to this lake, then look again"
    )


def _rewind(lake: Lake, finding: Finding, folder: str) -> Repaired:
    """Set aside a version and all later ones, the newest first: the rest is always a whole log.

    Versions that change nothing take their places.
    """
    assert finding.version is not None
    log = list_log(lake.files, finding.table)
    paths = [
        entry.path
        for version in sorted({*log.entries, *log.checkpoints}, reverse=True)
        if version >= finding.version
        for entry in [
            *log.checkpoints.get(version, []),
            *([log.entries[version]] if version in log.entries else []),
        ]
    ]
    if finding.remedy == "safe" and len(paths) > 1:
        raise _grown(log.newest)
    if log.pointer is not None and any("checkpoint" in path for path in paths):
        paths.insert(0, log.pointer.path)
    newest = log.newest
    if finding.version == 0:
        moved = _aside(lake, paths, folder)
        if entries := list_log(lake.files, finding.table).entries:
            raise _grown(max(entries))
        return Repaired(finding, "set aside; the table is created by its next writer", moved)
    ends = [newest + 1]
    if finding.remedy == "rewind":
        # First: where nothing can be locked, whoever has opened the table before commits this very
        # number, or loses it and cannot open the table again until its log is whole.
        _fill(lake, finding.table, ends)
        ends = []
    moved = _aside(lake, paths, folder)
    _fill(lake, finding.table, [*range(finding.version, newest + 1), *ends])
    done = f"set aside; the table is as it was at version {finding.version - 1}"
    return Repaired(finding, done, moved)


def _checkpoint(lake: Lake, finding: Finding, folder: str) -> Repaired:
    paths = list(finding.paths)
    log = list_log(lake.files, finding.table)
    if log.pointer is not None:
        paths.insert(0, log.pointer.path)  # first: it must never name what is not there
    moved = _aside(lake, paths, folder)
    checkpoint(lake.files, finding.table, lambda: lake.table(finding.table))
    return Repaired(finding, "set aside, and a new checkpoint written", moved)


def _forgotten(lake: Lake, name: str) -> list[Transaction] | None:
    """Transactions taken back with the rows they stood for, so that these can be appended again.

    Only of ``label_files``: its rows are made again from files whose content is known by then to
    be in ``raw_masks``. The ledger of images is listed again under new transactions.
    """
    if name != "label_files":
        return None
    names = transactions(lake.files, list_log(lake.files, name))
    return [Transaction(app_id, 0) for app_id in names]


def _drop_file(lake: Lake, finding: Finding, folder: str) -> Repaired:
    """Take a data file out of the table; whoever compares tables then finds its rows missing."""
    (path,) = finding.paths
    name = finding.table
    relative = path.removeprefix(f"{name}/")
    table = lake.table(name)
    rows = [r for r in active_files(table).iter_rows(named=True) if r["path"] == relative]
    if not rows:
        return Repaired(finding, "nothing to do: no version needs the file any more")
    (row,) = rows
    gone = RemoveAction(
        relative,
        True,
        int(time.time() * 1000),
        row["size_bytes"],
        {"batch_id": row["partition.batch_id"]} if "partition.batch_id" in row else {},
    )
    # One version or none: where somebody commits meanwhile, the file may be needed no longer.
    version = commit(
        lake.files,
        name,
        table,
        lambda: lake.table(name),
        [],
        removes=lambda _: [gone],
        app=lambda _: CommitProperties(
            custom_metadata={"boatseg.operation": "REPAIR"},
            app_transactions=_forgotten(lake, name),
            max_commit_retries=0,
        ),
        attempts=1,
    )
    moved = _aside(lake, [path], folder) if finding.kind == "corrupt_file" else ()
    return Repaired(finding, f"taken out of the table with version {version}", moved)

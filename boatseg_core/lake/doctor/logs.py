"""Damage in a table's transaction log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from boatseg_core.lake.doctor.finding import Finding, Kind
from boatseg_core.lake.files import Files
from boatseg_core.lake.log import Log, Torn, list_log, read_actions
from boatseg_core.lake.store import Lake

_REWIND = (
    "Restore the file from a backup; or run `boatseg lake doctor --rewind`, which sets aside this "
    "and every later version (kept below _doctor) and takes the table to version {before}: what is "
    "missing then is read again from its source by `boatseg ingest`."
)


def examine_log(lake: Lake, name: str) -> Iterator[Finding]:
    """Torn entries, gaps, broken checkpoints and what interrupted commits left behind."""
    log = list_log(lake.files, name)
    if log.newest < 0:
        return
    broken = {v: why for v in sorted(log.checkpoints) if (why := _bad(lake.files, log, v))}
    whole = [version for version in log.checkpoints if version not in broken]
    base = max(whole, default=-1)  # what replaying starts from
    yield from _entries(lake.files, log, base, _first_needed(log, base))
    yield from _checkpoints(log, broken, base)
    if finding := _pointer(lake.files, log, broken):
        yield finding
    old = [e for e in log.leftovers if e.modified < datetime.now(UTC) - timedelta(days=1)]
    if old:
        yield Finding(
            name,
            "leftover",
            f"{len(old)} temporary files of interrupted commits lie in the log",
            "They are never read; they only take space.",
            "safe",
            "They can be deleted.",
            tuple(entry.path for entry in old),
        )


def _first_needed(log: Log, base: int) -> int:
    """First log entry that opening the newest version needs."""
    return base + 1 if base >= 0 else 0


def _entries(files: Files, log: Log, base: int, first: int) -> Iterator[Finding]:
    newest = max(log.entries, default=-1)
    for version in sorted({*range(first, newest), *log.entries}):
        entry = log.entries.get(version)
        kind: Kind
        try:
            if entry is None:
                raise FileNotFoundError
            read_actions(files, log.name, version)
        except FileNotFoundError:
            why, kind = f"version {version} is missing in the log", "gap"
        except Torn as error:
            why, kind = f"version {version} in the log is damaged: {error}", "torn_commit"
        else:
            continue
        paths = () if entry is None else (entry.path,)
        if version <= base:
            yield Finding(
                log.name,
                "old_damage",
                why,
                f"The checkpoint of version {base} stands for it: only versions before that one "
                "cannot be opened.",
                "none",
                "Nothing needs to be done; the next clean-up of the log deletes it.",
                paths,
                version,
            )
            continue
        empty = entry is not None and entry.size == 0 and 0 < version < newest
        if empty and not _built_upon(files, log, version):
            yield _silent(log, why, paths, version)
            continue
        yield _broken(log, kind, why, paths, version, newest)
        return  # what comes after cannot be replayed, whole or not


def _silent(log: Log, why: str, paths: tuple[str, ...], version: int) -> Finding:
    return Finding(
        log.name,
        "torn_commit",
        why,
        "delta-rs takes it for a version that changed nothing, and later versions were built on "
        "that: what it committed is not in the table.",
        "safe",
        "It is set aside, and an entry that says so takes its place; what is missing is built "
        "again by the next `boatseg ingest`.",
        paths,
        version,
    )


def _built_upon(files: Files, log: Log, version: int) -> bool:
    """Whether a later entry removes a file that none is known to have added.

    Then the damaged entry was whole when the later one was written, and without it files that it
    replaced would be in the table beside those that replaced it.
    """
    if log.checkpoints and min(log.checkpoints) <= version:
        return True  # which files were there before would have to be read from a checkpoint
    added: set[str] = set()
    removed: set[str] = set()
    for number in sorted(log.entries):
        if number == version:
            continue
        try:
            actions = read_actions(files, log.name, number)
        except Torn:
            return True
        added |= {action["add"]["path"] for action in actions if "add" in action}
        if number > version:
            removed |= {action["remove"]["path"] for action in actions if "remove" in action}
    return not removed <= added


def _broken(
    log: Log, kind: Kind, why: str, paths: tuple[str, ...], version: int, newest: int
) -> Finding:
    consequence = "The table cannot be opened, or not be written to."
    if version == 0:
        advice = (
            "The table holds nothing before it: run `boatseg lake doctor --rewind` to set its log "
            "aside (kept below _doctor) and let it be made anew, or restore it from a backup."
        )
        if newest > 0 or kind == "gap":
            return Finding(log.name, kind, why, consequence, "rewind", advice, paths, version)
        return Finding(
            log.name,
            kind,
            why,
            consequence,
            "safe",
            "It is the table's creation and nothing came after it: it is set aside, and the table "
            "is created again.",
            paths,
            version,
        )
    if version == newest:
        return Finding(
            log.name,
            kind,
            why,
            consequence,
            "safe",
            "It is the newest version, which a loss of power can tear and whose writer was not "
            f"told of it: it is set aside, and the table is as it was at version {version - 1}.",
            paths,
            version,
        )
    return Finding(
        log.name,
        kind,
        why,
        consequence,
        "rewind",
        _REWIND.format(before=version - 1),
        paths,
        version,
    )


def _checkpoints(log: Log, broken: dict[int, str], base: int) -> Iterator[Finding]:
    for version, why in broken.items():
        first = _first_needed(
            log, max((v for v in log.checkpoints if v < version and v not in broken), default=-1)
        )
        replayable = all(v in log.entries for v in range(first, version + 1))
        paths = tuple(entry.path for entry in log.checkpoints[version])
        if replayable or base > version:
            yield Finding(
                log.name,
                "bad_checkpoint",
                f"the checkpoint of version {version} cannot be read: {why}",
                "Readers that start from it fail.",
                "safe",
                "The log entries it stood for are there: it is set aside and written again.",
                paths,
                version,
            )
        else:
            yield Finding(
                log.name,
                "bad_checkpoint",
                f"the checkpoint of version {version} cannot be read: {why}",
                "The table cannot be opened, and the log entries it stood for were cleaned up.",
                "hand",
                f"Restore {paths[0]} from a backup.",
                paths,
                version,
            )


def _bad(files: Files, log: Log, version: int) -> str:
    """Why a checkpoint cannot be read; empty where it can."""
    for entry in log.checkpoints[version]:
        if not entry.path.endswith(".parquet"):
            continue
        try:
            with pq.ParquetFile(files.source(entry.path)) as file:
                for _ in file.iter_batches():
                    pass
        except (OSError, pa.ArrowException) as error:
            return str(error).splitlines()[0]
    return ""


def _pointer(files: Files, log: Log, broken: dict[int, str]) -> Finding | None:
    if log.pointer is None:
        return None
    try:
        version = json.loads(files.read(log.pointer.path))["version"]
        if version in broken:
            return None  # dealt with together with the checkpoint
        if version in log.checkpoints:
            return None
        why = f"names the checkpoint of version {version}, which is not there"
    except (ValueError, KeyError, TypeError):
        why = "is damaged"
    return Finding(
        log.name,
        "bad_pointer",
        f"_last_checkpoint {why}",
        "Readers have to list the log, or fail.",
        "safe",
        "It is set aside; the next checkpoint writes it again.",
        (log.pointer.path,),
    )

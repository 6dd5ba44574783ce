"""Delete data files that no version worth keeping needs.

Kept are the files of the newest version, of every version that was the newest at some time within
the retention, and of every version that is named: a model's training data stays readable for as
long as the model is registered. Files that no commit names at all (of writers that were killed)
go after the same time, and never before a day: a writer may still be about to commit them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from boatseg_core.errors import LakeError
from boatseg_core.lake.commit import active_files
from boatseg_core.lake.files import Entry
from boatseg_core.lake.log import Log, Torn, list_log, newest_first
from boatseg_core.lake.schemas import TABLES
from boatseg_core.lake.store import Lake

KEEP_DAYS = 30.0
_UNCOMMITTED = timedelta(days=1)


@dataclass(frozen=True)
class Vacuumed:
    """What was deleted from a table, or would be.

    Attributes:
        name: The table.
        files: Paths below the table.
        bytes: Their size together.
        kept_files: Data files that stay.
        kept_bytes: Their size together.
        oldest: Oldest version that stays readable throughout.
        pinned: Named versions that stay readable, too.
    """

    name: str
    files: list[str]
    bytes: int
    kept_files: int
    kept_bytes: int
    oldest: int
    pinned: list[int]


def vacuum(
    lake: Lake,
    names: Sequence[str] | None = None,
    *,
    keep_days: float = KEEP_DAYS,
    keep_versions: Mapping[str, Collection[int]] | None = None,
    dry_run: bool = True,
    on_table: Callable[[str], None] = lambda name: None,
) -> list[Vacuumed]:
    """Delete data files that are no longer needed.

    Args:
        lake: The lake.
        names: Tables; by default all that exist.
        keep_days: Versions of so many days stay readable.
        keep_versions: Versions that stay readable whatever their age, by table.
        dry_run: Only say what would go.
        on_table: Called with each table's name before it is looked at.

    Raises:
        LakeError: A log is damaged (nothing is deleted then), or a file cannot be deleted.
    """
    done = []
    for name in names or [name for name in TABLES if lake.exists(name)]:
        on_table(name)
        pinned = sorted(set((keep_versions or {}).get(name, ())))
        found, stale = _look(lake, name, keep_days, pinned)
        for entry in [] if dry_run else stale:
            try:
                lake.files.delete(entry.path)
            except OSError as error:
                raise LakeError(f"{entry.path} cannot be deleted: {error}") from error
        done.append(found)
    return done


def _look(
    lake: Lake, name: str, keep_days: float, pinned: list[int]
) -> tuple[Vacuumed, list[Entry]]:
    now = datetime.now(UTC)
    cutoff = now - timedelta(days=keep_days)
    log = list_log(lake.files, name)
    try:
        oldest, named = oldest_kept(lake, log, cutoff)
    except (Torn, FileNotFoundError) as error:
        raise LakeError(
            f"table {name} was not vacuumed, since its log is damaged ({error}): run "
            "`boatseg lake doctor`"
        ) from error
    readable = [version for version in pinned if _is_readable(lake, name, version)]
    for version in {oldest, *readable}:
        named |= set(active_files(lake.table(name, version))["path"].to_list())
    kept: list[Entry] = []
    stale: list[Entry] = []
    for entry in data_files(lake, name):
        path = entry.path.removeprefix(f"{name}/")
        expired = entry.modified < min(cutoff, now - _UNCOMMITTED)
        (stale if path not in named and expired else kept).append(entry)
    return (
        Vacuumed(
            name,
            [entry.path.removeprefix(f"{name}/") for entry in stale],
            sum(entry.size for entry in stale),
            len(kept),
            sum(entry.size for entry in kept),
            oldest,
            readable,
        ),
        stale,
    )


def oldest_kept(lake: Lake, log: Log, cutoff: datetime) -> tuple[int, set[str]]:
    """The version in force at a time, and every file that commits after it added.

    Raises:
        Torn: A log entry cannot be read.
    """
    named: set[str] = set()
    oldest = log.newest
    # Entries before the first checkpoint of a log that was cleaned up open nothing.
    first = 0 if 0 in log.entries else min(log.checkpoints, default=0)
    for version, actions, at in newest_first(lake.files, log):
        if version < first:
            break
        oldest = version
        if at <= cutoff:
            break
        named |= {action["add"]["path"] for action in actions if "add" in action}
    return oldest, named


def data_files(lake: Lake, name: str) -> list[Entry]:
    """Every data file below a table, whether a commit names it or not."""
    return [
        entry
        for entry in lake.files.walk(name)
        if not any(
            part.startswith(("_", ".")) for part in entry.path.removeprefix(f"{name}/").split("/")
        )
    ]


def _is_readable(lake: Lake, name: str, version: int) -> bool:
    try:
        lake.table(name, version)
    except LakeError:  # cleaned up before it was named: its files may be gone already
        return False
    return True

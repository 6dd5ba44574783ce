"""Write checkpoints, and clean up the log entries they stand for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deltalake.exceptions import DeltaError

from boatseg_core.errors import LakeError
from boatseg_core.lake.commit import checkpoint as write_checkpoint
from boatseg_core.lake.files import Entry
from boatseg_core.lake.log import Torn, list_log
from boatseg_core.lake.maintenance.vacuum import oldest_kept
from boatseg_core.lake.schemas import TABLES
from boatseg_core.lake.store import Lake

LOG_DAYS = 365.0
_WORTH = 10  # log entries since the last checkpoint that make another one worth writing


@dataclass(frozen=True)
class Checkpointed:
    """What was done to a log.

    Attributes:
        name: The table.
        version: Newest version.
        checkpoint: Version of the newest checkpoint; ``None`` for none.
        entries: Log entries that stay.
        cleaned: Log entries and old checkpoints that were deleted.
        leftovers: Files of interrupted commits that were deleted.
    """

    name: str
    version: int
    checkpoint: int | None
    entries: int
    cleaned: int
    leftovers: int


def checkpoint(
    lake: Lake,
    names: Sequence[str] | None = None,
    *,
    log_days: float = LOG_DAYS,
    keep_versions: Mapping[str, Collection[int]] | None = None,
    on_table: Callable[[str], None] = lambda name: None,
) -> list[Checkpointed]:
    """Write a checkpoint where one is due, and clean up old log entries.

    Args:
        lake: The lake.
        names: Tables; by default all that exist.
        log_days: Versions of so many days can be opened; older ones as long as no checkpoint is
            written between them and these.
        keep_versions: Versions that can be opened whatever their age, by table.
        on_table: Called with each table's name before it is looked at.

    Raises:
        LakeError: A log is damaged, or the disk refuses.
    """
    done = []
    for name in names or [name for name in TABLES if lake.exists(name)]:
        on_table(name)
        try:
            done.append(_care(lake, name, log_days, (keep_versions or {}).get(name, ())))
        except (DeltaError, OSError, Torn) as error:
            raise LakeError(
                f"the log of table {name} cannot be cared for ({error}): run `boatseg lake doctor`"
            ) from error
    return done


def _care(lake: Lake, name: str, log_days: float, keep: Collection[int]) -> Checkpointed:
    table = lake.table(name)
    log = list_log(lake.files, name)
    newest = max(log.checkpoints, default=-1)
    if table.version() - newest >= _WORTH:
        write_checkpoint(lake.files, name, lambda: lake.table(name))
        log = list_log(lake.files, name)
    now = datetime.now(UTC)
    oldest, _ = oldest_kept(lake, log, now - timedelta(days=log_days))
    floor = min([oldest, *keep])
    # What opens a version is the newest checkpoint up to it, and the entries from there on.
    base = max((version for version in log.checkpoints if version <= floor), default=-1)
    old: list[Entry] = []
    for version in sorted({*log.entries, *log.checkpoints}):
        if version < base:
            old += log.checkpoints.get(version, [])
            old += [log.entries[version]] if version in log.entries else []
    leftovers = [e for e in log.leftovers if e.modified < now - timedelta(days=1)]
    with lake.files.committing():
        # Oldest first: whenever this is cut short, what is left is still a log without a gap.
        for entry in [*old, *leftovers]:
            lake.files.delete(entry.path)
    return Checkpointed(
        name,
        table.version(),
        max(log.checkpoints, default=None),
        sum(version >= base for version in log.entries),
        len(old),
        len(leftovers),
    )

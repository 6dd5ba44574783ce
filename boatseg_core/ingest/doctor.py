"""Examine and repair a whole lake: its files, and what its tables say of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from boatseg_core.config import Settings
from boatseg_core.ingest.consistency import bury, compare, relist
from boatseg_core.lake import Lake
from boatseg_core.lake.doctor import Finding, Repaired, examine, repair

_ROUNDS = 5
_BETWEEN_TABLES = ("rows_without_ledger", "dead_batches")


def examine_all(
    lake: Lake,
    names: Sequence[str],
    *,
    deep: bool,
    on_table: Callable[[str], None] = lambda name: None,
) -> list[Finding]:
    """Look for damage; nothing is changed.

    Args:
        lake: The lake.
        names: Tables.
        deep: Also read every data file to its end and compare its checksums.
        on_table: Called with each table's name before it is looked at.
    """
    found = examine(lake, names, deep=deep, on_table=on_table)
    # Comparing tables means reading them: only once each can be read.
    return found if any(finding.serious for finding in found) else [*found, *compare(lake)]


def repair_all(
    lake: Lake,
    settings: Settings,
    names: Sequence[str],
    found: Sequence[Finding],
    *,
    rewind: bool = False,
    on_unlocked: Callable[[], None] = lambda: None,
) -> list[Repaired]:
    """Repair what can be repaired, look again, and go on while that brings something to light.

    Others may write meanwhile: their commits wait. What was found before is looked for again once
    they do, for it may be over by then. Only an object store cannot make them wait; there a data
    file is still dropped by a commit that somebody else's makes fail, and the end of a log that is
    rewound is taken by a conditional request, before anything of it is set aside: whoever commits
    first loses nothing, and the repair says that the log has grown.

    Args:
        lake: The lake.
        settings: Landing folder.
        names: Tables.
        found: What :func:`examine_all` found.
        rewind: Also take tables whose log is broken back to their last whole version.
        on_unlocked: Called before the first repair where nothing keeps others from committing.

    Raises:
        LakeError: The disk refuses, or other processes keep committing.
        InputError: The landing folder cannot be listed, which a repair of the ledger needs.
    """
    # Damage inside of a file does not pass, and takes long to find.
    inside = [finding for finding in found if finding.kind == "corrupt_file"]
    done: list[Repaired] = []
    with lake.files.alone() as locked:
        if not locked:
            on_unlocked()
        for _ in range(_ROUNDS):
            still = examine_all(lake, names, deep=False)
            paths = {path for finding in still for path in finding.paths}
            still += [finding for finding in inside if not paths & set(finding.paths)]
            inside = []
            files = [finding for finding in still if finding.kind not in _BETWEEN_TABLES]
            now = repair(lake, files, rewind=rewind)
            for finding in still:
                if finding.kind == "rows_without_ledger":
                    listed = relist(lake, settings)
                    now.append(Repaired(finding, f"{listed:,} listed in the ledger again"))
                elif finding.kind == "dead_batches":
                    now.append(Repaired(finding, f"{bury(lake, finding):,} rows taken out"))
            done += now
            if not now:
                break
    return done

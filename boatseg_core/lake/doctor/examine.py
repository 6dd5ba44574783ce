"""Look at every table: its log first, then its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from boatseg_core.errors import LakeError
from boatseg_core.lake.doctor.data import examine_data
from boatseg_core.lake.doctor.finding import Finding
from boatseg_core.lake.doctor.logs import examine_log
from boatseg_core.lake.schemas import TABLES
from boatseg_core.lake.store import Lake


def examine(
    lake: Lake,
    names: Sequence[str] | None = None,
    *,
    deep: bool = False,
    on_table: Callable[[str], None] = lambda name: None,
) -> list[Finding]:
    """Look for damage; nothing is changed.

    Args:
        lake: The lake.
        names: Tables; by default all that have a log.
        deep: Also read every data file to its end and compare its checksums.
        on_table: Called with each table's name before it is looked at.

    Raises:
        LakeError: The lake itself cannot be listed.
    """
    found: list[Finding] = []
    for name in names or list(TABLES):
        on_table(name)
        try:
            found += _table(lake, name, deep)
        except OSError as error:
            raise LakeError(f"table {name} in {lake.root} cannot be looked at: {error}") from error
    return found


def _table(lake: Lake, name: str, deep: bool) -> Iterator[Finding]:
    in_log = list(examine_log(lake, name))
    yield from in_log
    if any(finding.serious for finding in in_log):
        return  # which files the table needs is only known when its log can be replayed
    try:
        there = lake.exists(name)
        if there:
            lake.table(name)
    except LakeError as error:
        yield Finding(
            name,
            "unreadable",
            f"the table cannot be opened: {error}",
            "Nothing can be read from it or written to it.",
            "hand",
            "Look at the message; restore the table's _delta_log from a backup if it is damaged.",
        )
        return
    if there:
        yield from examine_data(lake, name, deep=deep)

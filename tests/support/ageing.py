"""Make a lake on this machine older than it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

DAY = 86_400


def age(root: str, name: str, days: float, *, up_to: int | None = None) -> None:
    """Date a table's data files and log entries back.

    Args:
        root: Root of the lake.
        name: The table.
        days: By so many days.
        up_to: Only log entries up to this version, and the files they added.
    """
    table = Path(root, name)
    touched: set[Path] = set()
    for entry in sorted(table.glob("_delta_log/*.json")):
        if up_to is not None and int(entry.stem) > up_to:
            continue
        lines = [json.loads(line) for line in entry.read_text().splitlines()]
        for action in lines:
            if "commitInfo" in action:
                action["commitInfo"]["timestamp"] -= int(days * DAY * 1000)
            if "add" in action:
                touched.add(table / action["add"]["path"])
        entry.write_text("\n".join(map(json.dumps, lines)) + "\n")
        touched.add(entry)
    if up_to is None:
        touched |= set(table.rglob("*.parquet"))
    for file in touched:
        if file.exists():
            then = file.stat().st_mtime - days * DAY
            os.utime(file, (then, then))

"""Real homes for tests: built by the command a user types, compared table by table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from boatseg_core.cli.root import root
from boatseg_core.config import load_settings
from boatseg_core.lake import TABLES, Lake
from support.pictures import drop
from support.scenes import write_scenes

# When something was done says nothing of what was done.
_VOLATILE = {"sealed_at", "ingested_at", "quarantined_at", "loaded_at", "at", "scored_at"}
COMPARED = (
    "files",
    "raw_images",
    "quarantine",
    "image_quality",
    "label_files",
    "raw_masks",
    "label_issues",
    "rasterized_masks",
    "image_groups",
    "gold_dataset",
)


def write_settings(home: Path, **sections: dict[str, Any]) -> None:
    """Write a home's boatseg.toml; values are numbers, texts and booleans."""
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        for name, value in values.items():
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            lines.append(f"{name} = {shown}")
    home.mkdir(parents=True, exist_ok=True)
    (home / "boatseg.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def fill(home: Path, count: int, *, seed: int = 0, batch: int = 8) -> None:
    """Put labelled scenes and a broken file into the landing folder of a home."""
    write_settings(home, landing={"settle_seconds": 0}, seal={"max_files": batch})
    write_scenes(home / "landing", count, seed=seed)
    drop(home / "landing" / "images", f"broken-{seed}.jpg", b"\xff\xd8 no picture")


def boatseg(home: Path, *arguments: str) -> int:
    """Run a command in this process; returns its exit code."""
    before = Path.cwd()
    os.chdir(home)  # a boatseg.toml of the checkout is none of the test's
    try:
        return int(root.main([*arguments, "--home", str(home)], standalone_mode=False) or 0)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        os.chdir(before)


def lake_of(home: Path) -> Lake:
    """The lake of a home."""
    return Lake.from_settings(load_settings(home=home))


def contents(home: Path, names: Sequence[str] = COMPARED) -> dict[str, pl.DataFrame]:
    """Every row of tables but for times, pictures included, in a settled order."""
    lake = lake_of(home)
    found = {}
    for name in names:
        columns = [c for c in TABLES[name].schema.names if c not in _VOLATILE]
        frame = lake.scan(name).select(columns).collect()
        keys = [c for c in columns if frame.schema[c] in (pl.String, pl.Int64, pl.Int32, pl.Binary)]
        found[name] = frame.sort(keys)
    return found


def differences(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> list[str]:
    """Names of the tables that do not hold the same rows, with their row counts."""
    return [
        f"{name}: {one[name].height} rows and {other[name].height}"
        for name in one
        if not one[name].equals(other[name], null_equal=True)
    ]

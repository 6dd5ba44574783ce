from __future__ import annotations

from pathlib import Path

import polars as pl

from boatseg_core.config import load_settings
from boatseg_core.lake import TABLES, Lake


def test_vacuum_says_and_holds_that_young_files_stay(boatseg, tmp_path: Path) -> None:
    help_text = " ".join(boatseg("lake", "vacuum", "--help").stdout.split())
    assert "Files younger than a day are never deleted." in help_text
    lake = Lake.from_settings(load_settings())
    empty = pl.DataFrame(TABLES["quarantine"].schema.empty_table())
    rows = empty.clear(1).with_columns(image_id=pl.lit("a"), batch_id=pl.lit("b1"))
    for _ in range(2):
        lake.replace_batch("quarantine", "b1", rows)  # the first one's file is of no use now
    before = set((tmp_path / "home" / "lake" / "quarantine").rglob("*.parquet"))
    assert len(before) == 2
    result = boatseg("lake", "vacuum", "--keep-days", "0", "quarantine")
    assert result.exit_code == 0, result.output
    assert set((tmp_path / "home" / "lake" / "quarantine").rglob("*.parquet")) == before

"""A look at many tables reads what the tables hold, wherever the home is."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from boatseg_core.errors import ConfigError
from boatseg_core.lake import TABLES, Lake
from boatseg_core.lake.snapshot import Snapshot
from boatseg_core.lake.sql import query


def rows(table: str, *names: str, batch_id: str = "20260101-000001") -> pa.Table:
    return pa.Table.from_pylist(
        [{"image_id": name, "batch_id": batch_id} for name in names], TABLES[table].schema
    )


@pytest.mark.parametrize("folder", ["My Data", "Ü#1", "a?[x]*{b,c}", "50 % of 'it'", "🚤&+=:@"])
def test_a_lake_may_be_in_a_folder_of_any_usual_name(tmp_path: Path, folder: str) -> None:
    lake = Lake(str(tmp_path / folder / "lake"))
    lake.append("files", rows("files", "a", "b"))
    lake.replace_batch("image_quality", "20260101-000001", rows("image_quality", "a"))
    lake.replace_batch(
        "image_quality", "20260101-000002", rows("image_quality", "b", batch_id="20260101-000002")
    )
    look = Snapshot(lake)
    assert sorted(look.scan("files").collect()["image_id"]) == ["a", "b"]
    assert look.scan("image_quality", ["20260101-000002"]).collect()["image_id"].to_list() == ["b"]
    assert lake.read("files").height == 2
    assert query(lake, "select count(*) from image_quality").rows() == [(2,)]


def test_columns_and_types_are_the_tables_own(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.replace_batch("image_quality", "20260101-000001", rows("image_quality", "a"))
    lake.append("files", rows("files", "a"))
    for name in ("files", "image_quality"):
        ours = Snapshot(lake).scan(name).collect()
        theirs = pl.scan_delta(lake.table(name)).select(TABLES[name].narrow).collect()
        assert ours.schema == theirs.schema
        assert ours.equals(theirs)


def test_an_emptied_table_has_its_columns(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.replace_batch("image_quality", "b", rows("image_quality", "a", batch_id="b"))
    full = Snapshot(lake).scan("image_quality").collect()
    lake.replace_batch("image_quality", "b", rows("image_quality"))
    assert Snapshot(lake).scan("image_quality").collect().schema == full.schema


def test_a_column_that_only_newer_files_have_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from boatseg_core.lake import Column

    lake = Lake(str(tmp_path / "lake"))
    lake.append("files", rows("files", "old"))
    spec = TABLES["files"]
    grown = replace(spec, columns=(*spec.columns, Column("shade", pa.string(), "Tomorrow's.")))
    monkeypatch.setitem(TABLES, "files", grown)
    new = [{"image_id": "new", "batch_id": "b", "shade": "dark"}]
    lake.append("files", pa.Table.from_pylist(new, grown.schema))
    seen = Snapshot(lake).scan("files").select("image_id", "shade").collect()
    assert dict(seen.iter_rows()) == {"old": None, "new": "dark"}


@pytest.mark.parametrize("folder", ["a%41", "a%2fb", "back\\slash", "new\nline"])
def test_a_path_that_delta_takes_for_another_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ConfigError, match="lake_uri"):
        Lake(str(tmp_path / folder))
    assert not list(tmp_path.iterdir())

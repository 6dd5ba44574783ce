"""Tables of older homes get the columns that the code has gained."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from support.lakes import grow_and_append

from boatseg_core.errors import LakeUnusable
from boatseg_core.lake import TABLES, Column, Lake, TableSpec
from boatseg_core.lake.sql import query

NEW = (
    Column("shade", pa.string(), "A column of tomorrow."),
    Column("depths", pa.list_(pa.int64()), "Another."),
)


def grown(spec: TableSpec) -> TableSpec:
    """The table with new columns in its middle."""
    return replace(spec, columns=(*spec.columns[:2], *NEW, *spec.columns[2:]))


def images(*names: str, batch_id: str = "b1", **more: object) -> pa.Table:
    rows = [{"image_id": n, "batch_id": batch_id, "image": b"x" * 9, **more} for n in names]
    return pa.Table.from_pylist(rows, schema=TABLES["raw_images"].schema)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake written by older code, read by newer."""
    lake = Lake(str(tmp_path / "lake"))
    lake.replace_batch("raw_images", "b1", images("a", "b"))
    lake.append("raw_masks", pa.Table.from_pylist([{"image_id": "a"}], TABLES["raw_masks"].schema))
    for name in ("raw_images", "raw_masks"):
        monkeypatch.setitem(TABLES, name, grown(TABLES[name]))
    return lake


def test_columns_a_table_lacks_read_as_null_before_anything_is_written(lake: Lake) -> None:
    names = TABLES["raw_images"].schema.names
    assert lake.scan("raw_images").collect().columns == names
    rows = lake.read("raw_images", ["image_id", "shade", "depths"], batch_id="b1")
    assert rows.sort("image_id").rows() == [("a", None, None), ("b", None, None)]
    assert lake.scan("raw_images").filter(pl.col("shade").is_null()).collect().height == 2
    assert lake.scan("raw_images").filter(pl.col("shade") == "x").collect().height == 0
    (batch,) = lake.batches("raw_images")
    assert batch.schema.names == names
    picked = lake.pick("raw_images", ["image", "shade"], ["b"], batch_ids=["b1"])
    assert picked.rows() == [("b", "b1", b"x" * 9, None)]
    assert lake.version("raw_images") == 1


def test_sql_sees_the_new_column(lake: Lake) -> None:
    counted = query(lake, "select count(*), count(shade), min(batch_id) from raw_images")
    assert counted.rows() == [(2, 0, "b1")]
    lake.replace_batch("raw_images", "b2", images("c", batch_id="b2", shade="dark"))
    shades = query(lake, "select image_id, shade from raw_images order by 1")
    assert shades.rows() == [("a", None), ("b", None), ("c", "dark")]
    # pinned before the column was there
    assert query(lake, "select shade from raw_images", versions={"raw_images": 1}).rows() == [
        (None,),
        (None,),
    ]


def test_writing_adds_the_columns_once_with_their_comments(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b2", images("c", batch_id="b2", depths=[3, 4]))
    lake.replace_batch("raw_images", "b1", images("a", shade="light"))
    fields = {field.name: field for field in lake.table("raw_images").schema().fields}
    assert fields["shade"].metadata["comment"] == "A column of tomorrow."
    assert fields["shade"].nullable
    history = [entry["operation"] for entry in lake.table("raw_images").history()]
    assert history.count("ADD COLUMN") == 1
    rows = lake.scan("raw_images").select("image_id", "shade", "depths").sort("image_id").collect()
    assert rows.rows() == [("a", "light", None), ("c", None, [3, 4])]
    # a model trained long ago pins a version without the columns
    old = lake.read("raw_images", ["image_id", "shade"], version=1)
    assert sorted(old.rows()) == [("a", None), ("b", None)]


def test_app_transactions_outlive_a_new_column(lake: Lake) -> None:
    rows = pa.Table.from_pylist([{"image_id": "z"}], TABLES["raw_masks"].schema)
    assert lake.append("raw_masks", rows, app_id="once") is not None
    assert lake.append("raw_masks", rows, app_id="once") is None
    assert lake.read("raw_masks").height == 2


def test_rows_made_before_the_column_came_are_refused_as_outdated(lake: Lake) -> None:
    version = lake.version("raw_images")
    assert version is not None
    assert lake.replace_batch_after("raw_images", "b1", images("q"), version) is None
    version = lake.version("raw_images")
    assert version is not None
    assert lake.replace_batch_after("raw_images", "b1", images("q"), version) == version + 1


def test_racing_processes_add_the_columns_once_and_lose_no_row(tmp_path: Path) -> None:
    root = str(tmp_path / "lake")
    Lake(root).create("raw_masks")
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(grow_and_append, root, f"p{n}", 3) for n in range(3)]:
            done.result(60)
    lake = Lake(root)
    table = lake.table("raw_masks")
    names = [field.name for field in table.schema().fields]
    assert names.count("shade") == 1
    assert sorted(lake.scan("raw_masks").select("image_id").collect()["image_id"]) == sorted(
        f"p{process}-{number}" for process in range(3) for number in range(3)
    )
    # Two may both find the column missing; the second commit is refused, never doubled.
    operations = [entry["operation"] for entry in table.history()]
    assert operations.count("ADD COLUMN") == 1


def test_no_column_is_added_upon_an_empty_version(lake: Lake) -> None:
    """As a loss of power leaves the newest entry; what it held would be lost for good."""
    log = Path(lake.root, "raw_masks", "_delta_log")
    newest = max(log.glob("*.json"))
    newest.write_bytes(b"")
    with pytest.raises(LakeUnusable, match=r"raw_masks is empty.*doctor --repair"):
        lake.create("raw_masks")
    assert max(log.glob("*.json")) == newest and newest.stat().st_size == 0

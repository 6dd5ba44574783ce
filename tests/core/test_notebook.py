from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support.pictures import encoded, texture

import boatseg_core
from boatseg_core import open_home
from boatseg_core.errors import InputError
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.lake import TABLES
from boatseg_core.notebook import OpenHome


@pytest.fixture
def lake(tmp_path: Path) -> OpenHome:
    home = open_home(tmp_path)
    mask = np.zeros((256, 256), dtype=np.bool_)
    mask[20:60, 30:90] = True
    rows = {
        "image_id": [f"{i}<b>.jpg" for i in range(4)],
        "batch_id": ["b1"] * 4,
        "image": [encoded(texture(i)) for i in range(4)],
        "mask": [encode_mask(mask)] * 4,
        "boat_count": [0, 1, 2, 3],
        "boat_area": [0, 2400, 2400, 2400],
        "split": ["train"] * 4,
    }
    schema = TABLES["gold_dataset"].schema
    columns = [pa.array(rows.get(f.name, [None] * 4), f.type) for f in schema]
    home.lake.replace_batch("gold_dataset", "b1", pa.table(columns, schema=schema))
    return home


def test_sql_gallery_and_gold_from_one_object(lake: OpenHome) -> None:
    assert lake.sql("select sum(boat_count) from gold_dataset").polars().item() == 6
    assert lake.sql("select boat_count from gold_dataset").lazy().collect().height == 4
    assert lake.gold().index("train").height == 4
    assert str(lake.settings.home) in repr(lake)
    assert lake.sql("select 1", versions={"gold_dataset": 0}).polars().item() == 1


def test_a_gallery_shows_itself_in_a_notebook(lake: OpenHome, tmp_path: Path) -> None:
    query = "select image_id, image, mask, boat_count from gold_dataset where boat_count > 1"
    page = lake.gallery(query)
    shown = page._repr_html_()

    assert page.html.count('class="card"') == 2
    (framed,) = re.findall(r'srcdoc="([^"]*)"', shown)
    assert html.unescape(framed) == page.html
    # Of an origin of its own: a page must not read the notebook it is shown in.
    assert 'sandbox="allow-scripts"' in shown and "allow-same-origin" not in shown
    assert page.save(tmp_path / "deep" / "page.html").read_text(encoding="utf-8") == page.html
    assert "MB>" in repr(page)


def test_a_gallery_of_nothing_in_particular_shows_what_is_labelled(lake: OpenHome) -> None:
    assert "<h1>Labelled images</h1>" in lake.gallery().html
    assert "<h1>Mine</h1>" in lake.gallery(title="Mine").html
    with pytest.raises(InputError, match="needs the column image"):
        lake.gallery("select image_id from gold_dataset")


def test_tables_and_their_columns_are_listed(lake: OpenHome) -> None:
    tables = lake.tables()
    assert tables["name"].to_list() == list(TABLES)
    gold = tables.row(by_predicate=pl.col("name") == "gold_dataset", named=True)
    assert (gold["rows"], gold["layer"]) == (4, "gold")
    assert gold["bytes"] > 10_000 and gold["version"] >= 1
    columns = lake.describe("gold_dataset")
    assert columns["column"].to_list() == TABLES["gold_dataset"].schema.names
    assert columns["meaning"].str.len_chars().min() > 10  # type: ignore[operator]
    with pytest.raises(InputError, match="no table is called 'gold'"):
        lake.describe("gold")


def test_every_column_of_every_table_says_what_it_means() -> None:
    for spec in TABLES.values():
        assert len(spec.description) > 20, spec.name
        for column in spec.columns:
            assert len(column.comment) > 4 and column.comment.endswith("."), (spec.name, column)


def test_the_package_hands_out_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'open_house'"):
        boatseg_core.open_house  # type: ignore[attr-defined]  # noqa: B018

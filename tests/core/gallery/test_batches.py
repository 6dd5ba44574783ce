from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support.pictures import encoded, texture

from boatseg_core.gallery import batches
from boatseg_core.gallery.batches import write_batch_page
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.lake import TABLES, Lake


@pytest.fixture
def gold(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    schema = TABLES["gold_dataset"].schema
    for batch, count in (("b1", 5), ("b2", 2), ("b3", 0)):
        rows = {
            "image_id": [f"{batch}-{i}.jpg" for i in range(count)],
            "batch_id": [batch] * count,
            "image": [encoded(texture(i, 64, 64)) for i in range(count)],
            "mask": [encode_mask(np.eye(64, dtype=np.bool_))] * count,
            "boat_count": list(range(count)),
            "group_id": ["g"] * count,
        }
        columns = [pa.array(rows.get(f.name, [None] * count), f.type) for f in schema]
        lake.replace_batch("gold_dataset", batch, pa.table(columns, schema=schema))
    return lake


def test_a_page_shows_its_batch_as_it_was_written(gold: Lake, tmp_path: Path) -> None:
    version = gold.table("gold_dataset").version()
    page = write_batch_page(gold, "b1", tmp_path / "pages", version=version)
    assert page == tmp_path / "pages" / "b1.html"
    text = page.read_text(encoding="utf-8")
    names = [f"b1-{i}.jpg" for i in (4, 3, 2, 1, 0)]
    at = [text.index(f'data-id="{name}"') for name in names]
    assert at == sorted(at) and "b2-0.jpg" not in text
    assert "<dt>objects</dt><dd>10</dd>" in text
    assert write_batch_page(gold, "b3", tmp_path / "pages", version=version) is None


def test_only_so_many_pages_are_kept(
    gold: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for age in range(5):
        old = folder / f"old{age}.html"
        old.write_text("old")
        os.utime(old, ns=(age, age))
    monkeypatch.setattr(batches, "KEEP", 3)

    write_batch_page(gold, "b2", folder, version=gold.table("gold_dataset").version())

    assert sorted(path.name for path in folder.iterdir()) == ["b2.html", "old3.html", "old4.html"]

"""Pictures are found inside Parquet files where Arrow finds them, or not at all."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import golds

from boatseg_core.dataset import GoldDataset
from boatseg_core.dataset.loader import groups, pages
from boatseg_core.errors import LakeError

Value = bytes | None


def values(count: int, largest: int) -> list[Value]:
    source = random.Random(count)
    return [source.randbytes(source.randrange(largest + 1)) for _ in range(count)]


def write(path: Path, column: list[Value], *, nullable: bool = True, **options: Any) -> pages.File:
    schema = pa.schema([("number", pa.int64()), pa.field("blob", pa.binary(), nullable=nullable)])
    table = pa.table([range(len(column)), column], schema=schema)
    # As a lake writes its blobs.
    usual = {"compression": "none", "use_dictionary": False, "write_statistics": ["number"]}
    pq.write_table(table, path, **(usual | {"row_group_size": 100} | options))
    return pages.File(str(path))


def found(file: pages.File, path: Path) -> list[Value] | None:
    footer = pq.read_metadata(path)
    result: list[Value] = []
    for group in range(footer.num_row_groups):
        spans = pages.spans(file, footer, group, "blob")
        if spans is None:
            return None
        assert spans.dtype == np.int64
        result += [file.read(*span) for span in spans.tolist()]
    return result


@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 250])
@pytest.mark.parametrize("largest", [0, 30, 70_000])
@pytest.mark.parametrize("nullable", [True, False])
@pytest.mark.parametrize("page", [1 << 20, 1000])
def test_values_are_those_that_were_written(
    tmp_path: Path, count: int, largest: int, nullable: bool, page: int
) -> None:
    path, column = tmp_path / "a.parquet", values(count, largest)
    file = write(path, column, nullable=nullable, data_page_size=page)
    assert found(file, path) == column


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"compression": "snappy"},
        {"use_dictionary": True},
        {"data_page_version": "2.0"},
        {"use_dictionary": False, "column_encoding": {"blob": "DELTA_LENGTH_BYTE_ARRAY"}},
    ],
)
def test_another_writers_pages_are_left_to_arrow(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.parquet"
    assert found(write(path, values(20, 100), **options), path) is None


@pytest.mark.parametrize("missing", [0, 5, 19])
def test_a_value_that_is_missing_is_left_to_arrow(tmp_path: Path, missing: int) -> None:
    path, column = tmp_path / "a.parquet", values(20, 100)
    column[missing] = None
    assert found(write(path, column), path) is None


def test_columns_that_are_not_pictures_are_left_to_arrow(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    lists = pa.array([[b"a", b"b"]] * 5, pa.list_(pa.binary()))
    pq.write_table(pa.table({"a": range(5), "b": lists}), path, compression="none")
    file, footer = pages.File(str(path)), pq.read_metadata(path)
    for name in ("a", "b", "b.list.element", "c"):
        assert pages.spans(file, footer, 0, name) is None


@pytest.mark.parametrize("largest", [40, 40_000])
def test_damage_is_noticed_or_stays_inside_the_file(tmp_path: Path, largest: int) -> None:
    path, column = tmp_path / "a.parquet", values(30, largest)
    write(path, column)
    whole = path.read_bytes()
    footer = pq.read_metadata(path)
    chunk = footer.row_group(0).column(1)
    source, noticed = random.Random(0), 0
    for place in [*range(64), *(source.randrange(chunk.total_compressed_size) for _ in range(400))]:
        harmed = bytearray(whole)
        harmed[chunk.data_page_offset + place] ^= 1 << source.randrange(8)
        path.write_bytes(harmed)
        file = pages.File(str(path))
        try:
            spans = pages.spans(file, footer, 0, "blob")
        except OSError:
            spans = None
        noticed += spans is None
        if spans is not None:
            assert len(spans) == 30
            ends = spans.sum(axis=1)
            assert spans.min() >= 0
            assert ends.max() <= chunk.data_page_offset + chunk.total_compressed_size
    assert noticed > 20


def test_a_footer_that_points_beyond_the_file_is_left_to_arrow(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, values(20, 40_000))
    footer = pq.read_metadata(path)
    path.write_bytes(path.read_bytes()[:-200_000])
    assert pages.spans(pages.File(str(path)), footer, 0, "blob") is None


def test_a_page_header_with_text_for_its_size_is_left_to_arrow(tmp_path: Path) -> None:
    path, column = tmp_path / "a.parquet", values(3, 100)
    write(path, column, nullable=False)
    footer = pq.read_metadata(path)
    # type 0, and sizes that are texts; a data page header of 3 plain values
    header = b"\x15\x00\x18\x01a\x18\x01a\x2c\x15\x06\x15\x00\x00\x00"
    harmed = bytearray(path.read_bytes())
    start = footer.row_group(0).column(1).data_page_offset
    harmed[start : start + len(header)] = header
    path.write_bytes(harmed)
    assert pages.spans(pages.File(str(path)), footer, 0, "blob") is None


def test_a_file_that_ends_early_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(bytes(100))
    with pytest.raises(OSError, match="it ends before byte 101"):
        pages.File(str(path)).read(50, 51)


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"data_page_version": "2.0"}])
def test_gold_of_another_writer_is_loaded_alike(
    gold: GoldDataset, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    expected = [batch["image"].sum() for batch in gold.loader(size=20, batch_size=4)]
    for path in Path(gold.lake.root).rglob("*.parquet"):
        pq.write_table(pq.read_table(path, partitioning=None), path, row_group_size=5, **options)
    fetched, fetch = [], groups.Groups._fetch

    def fetching(self: groups.Groups, group: int) -> Any:
        fetched.append(group)
        return fetch(self, group)

    monkeypatch.setattr(groups.Groups, "_fetch", fetching)
    assert [batch["image"].sum() for batch in gold.loader(size=20, batch_size=4)] == expected
    assert fetched


def test_only_pictures_that_are_wanted_are_read(
    gold: GoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups.Groups, "_fetch", None)  # nothing of it goes through Arrow
    read, picture = [], pages.File.read

    def reading(self: pages.File, offset: int, size: int) -> bytes:
        read.append(size)
        return picture(self, offset, size)

    loader = gold.loader(size=20, batch_size=4, rank=1, world_size=5, threads=1)
    monkeypatch.setattr(pages.File, "read", reading)
    images = sum(len(batch["image_id"]) for batch in loader)
    assert images == 12
    stored = {len(golds.row(i)["image"]) for i in range(100)}
    assert sum(size in stored for size in read) == images


def test_a_file_that_goes_while_it_is_read_is_said(
    gold: GoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that are open are read on; those that are not any more are named."""
    monkeypatch.setattr(groups, "_OPEN_FILES", 0)
    loader = gold.loader(size=20, batch_size=4)
    batches = iter(loader)
    next(batches)
    for path in Path(gold.lake.root).rglob("*.parquet"):
        path.unlink()
    with pytest.raises(LakeError, match=r"its file batch_id=\S+ is gone \(vacuumed\?\)"):
        list(batches)

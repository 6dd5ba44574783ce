"""A version whose files are gone by the time they are read, and files that are damaged."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from support.s3 import S3Server

from boatseg_core.errors import LakeError
from boatseg_core.lake import TABLES, Lake
from boatseg_core.lake.commit import active_files


def images(*names: str) -> pa.Table:
    rows = [{"image_id": n, "batch_id": "b1", "image": b"x" * 9} for n in names]
    return pa.Table.from_pylist(rows, schema=TABLES["raw_images"].schema)


def replaced(lake: Lake) -> None:
    """Write a batch once more, and delete what no version of now needs, as a vacuum does."""
    before = active_files(lake.table("raw_images"))["path"].to_list()
    lake.replace_batch("raw_images", "b1", images("a", "b"))
    for path in before:
        lake.files.delete(f"raw_images/{path}")


READS: dict[str, Callable[[Lake, int], object]] = {
    "read": lambda lake, version: lake.read("raw_images", version=version),
    "batches": lambda lake, version: list(lake.batches("raw_images", version=version)),
    "pick": lambda lake, version: lake.pick(
        "raw_images", ["image"], ["a"], batch_ids=["b1"], version=version
    ),
    "table": lambda lake, version: lake.dataset("raw_images", version).to_table(),
}


@pytest.mark.parametrize("how", READS)
def test_a_vacuumed_version_is_said_with_what_to_do(tmp_path: Path, how: str) -> None:
    lake = Lake(str(tmp_path))
    version = lake.replace_batch("raw_images", "b1", images("a"))
    replaced(lake)
    with pytest.raises(LakeError, match=rf"version {version} of raw_images .*\.parquet.* is gone"):
        READS[how](lake, version)


def test_a_scan_that_is_vacuumed_before_it_is_read_names_its_version(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    version = lake.replace_batch("raw_images", "b1", images("a"))
    scan = lake.scan("raw_images").filter(pl.col("batch_id") == "b1").select("image_id")
    for engine in ("in-memory", "streaming"):
        assert scan.collect(engine=engine).height == 1  # type: ignore[call-overload]
    replaced(lake)
    for engine in ("in-memory", "streaming"):
        with pytest.raises(LakeError, match=rf"version {version} of raw_images .* newer version"):
            scan.collect(engine=engine)  # type: ignore[call-overload]
    assert lake.scan("raw_images").select("image_id").collect().height == 2


def test_a_vacuumed_version_in_a_bucket(s3: S3Server) -> None:
    bucket = s3.bucket()
    s3.store(bucket).put("made", b"1")
    lake = Lake(f"s3://{bucket}/lake", s3.storage_options)
    version = lake.replace_batch("raw_images", "b1", images("a"))
    scan = lake.scan("raw_images")
    replaced(lake)
    with pytest.raises(LakeError, match=rf"version {version} of raw_images .* is gone"):
        scan.collect()


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    version = lake.replace_batch("raw_images", "b1", images("a"))
    (file,) = tmp_path.rglob("part-*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(LakeError, match=rf"raw_images version {version} cannot be read.*doctor"):
        lake.read("raw_images")
    with pytest.raises(LakeError, match=re.escape("lake doctor")):
        list(lake.batches("raw_images"))

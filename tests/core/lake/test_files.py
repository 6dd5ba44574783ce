"""What an object store refuses is said in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.s3 import S3Server

from boatseg_core.errors import LakeError
from boatseg_core.lake import TABLES, Lake
from boatseg_core.lake.doctor import examine


def test_a_bucket_that_is_not_there_is_named_as_the_reason(s3: S3Server) -> None:
    lake = Lake(f"s3://{s3.bucket()}/lake", s3.storage_options)
    with pytest.raises(LakeError, match="NoSuchBucket: The specified bucket does not exist"):
        list(lake.files.walk("files"))
    with pytest.raises(LakeError, match="NoSuchBucket"):
        examine(lake)
    with pytest.raises(LakeError, match=r"^table files in .* cannot be read: NoSuchBucket: [^<]*$"):
        lake.exists("files")


def test_wrong_keys_are_named_as_the_reason(s3: S3Server) -> None:
    options = s3.storage_options | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    files = Lake("s3://ready/lake", options).files
    with pytest.raises(LakeError, match="SignatureDoesNotMatch"):
        files.read("files/x")
    with pytest.raises(LakeError, match="SignatureDoesNotMatch"):
        files.write("files/x", b"1")
    with pytest.raises(LakeError, match="SignatureDoesNotMatch"), files.creating("files/x") as sink:
        pq.write_table(pa.table({"x": [1]}), sink)
    with pytest.raises(LakeError, match="SignatureDoesNotMatch"):
        files.delete("files/x")


def test_an_object_that_is_not_there_is_a_missing_file(s3: S3Server) -> None:
    files = Lake("s3://ready/lake", s3.storage_options).files
    with pytest.raises(FileNotFoundError):
        files.read("files/x")
    files.delete("files/x")


def test_a_place_that_no_table_can_be_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="files cannot be created in http://x: "):
        Lake("http://x").create("files")


@pytest.mark.parametrize("deep", [False, True])
def test_a_store_that_does_not_answer_is_no_damage(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, deep: bool
) -> None:
    bucket = s3.bucket()
    s3.store(bucket).put("x", b"1")  # makes the bucket
    place = f"s3://{bucket}/lake"
    lake = Lake(place, s3.storage_options)
    row = {"image_id": "a", "batch_id": "b"}
    lake.replace_batch("raw_images", "b", pa.Table.from_pylist([row], TABLES["raw_images"].schema))
    refused = Lake(place, s3.storage_options | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    monkeypatch.setattr(lake.files, "source", refused.files.source)
    with pytest.raises(LakeError, match="in the lake's object store"):
        examine(lake, deep=deep)


@pytest.mark.parametrize("deep", [False, True])
def test_a_store_that_is_gone_in_the_middle_of_a_file_is_no_damage(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, deep: bool
) -> None:
    bucket = s3.bucket()
    s3.store(bucket).put("x", b"1")  # makes the bucket
    lake = Lake(f"s3://{bucket}/lake", s3.storage_options)
    row = {"image_id": "a", "batch_id": "b"}
    lake.replace_batch("raw_images", "b", pa.Table.from_pylist([row], TABLES["raw_images"].schema))
    opened = obstore.open_reader

    class Gone:
        """A file that was opened, and whose bytes do not come: obstore raises OSError then."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def read(self, size: int = -1) -> bytes:
            raise OSError("Generic S3 error: Error performing GET: connection refused")

    monkeypatch.setattr(obstore, "open_reader", lambda *args: Gone(opened(*args)))
    with pytest.raises(LakeError, match=r"raw_images/.*object store: .*connection refused"):
        examine(lake, deep=deep)
    monkeypatch.undo()
    assert examine(lake, deep=deep) == []


def test_a_log_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.create("files")
    entry = tmp_path / "files/_delta_log/00000000000000000000.json"
    entry.unlink()
    entry.symlink_to(entry.name)  # cannot be opened by root, either
    with pytest.raises(LakeError, match=r"table files in .* cannot be read: [^\n]*$"):
        lake.table("files")

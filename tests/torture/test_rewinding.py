"""A log that is rewound in an object store, where nothing keeps others from committing."""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError
from support.s3 import S3Server

from boatseg_core.errors import LakeError
from boatseg_core.lake import TABLES, Lake
from boatseg_core.lake.commit import commit, log_entry
from boatseg_core.lake.doctor import examine, repair
from boatseg_core.lake.files_store import ObjectFiles
from boatseg_core.lake.log import list_log
from boatseg_core.lake.parts import write_parts


def masks(name: str) -> pa.Table:
    return pa.Table.from_pylist([{"image_id": name}], TABLES["raw_masks"].schema)


@pytest.fixture
def lake(s3: S3Server) -> Lake:
    """A table in a bucket; version 2 of its five is missing."""
    bucket = s3.bucket()
    s3.store(bucket).put("README", b"a lake")
    lake = Lake(f"s3://{bucket}/lake", s3.storage_options)
    for name in "abcd":
        lake.append("raw_masks", masks(name))
    return lake


def break_log(lake: Lake) -> None:
    lake.files.delete(log_entry("raw_masks", 2))


def test_a_log_that_grew_before_it_was_rewound_is_left_as_it_is(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = lake.table("raw_masks")
    break_log(lake)
    found = examine(lake, ["raw_masks"], deep=False)
    assert [f.remedy for f in found if f.serious] == ["rewind"]
    create = ObjectFiles.create

    def late(files: ObjectFiles, path: str, data: bytes) -> None:
        """A writer that had opened the table before commits at the last moment."""
        monkeypatch.setattr(ObjectFiles, "create", create)
        adds = write_parts(lake.files, TABLES["raw_masks"], masks("late").to_batches())
        with suppress(DeltaError):  # its entry is there; that the log is broken it sees afterwards
            commit(lake.files, "raw_masks", opened, lambda: lake.table("raw_masks"), adds)
        create(files, path, data)

    monkeypatch.setattr(ObjectFiles, "create", late)
    with pytest.raises(LakeError, match=r"another process has committed version 5"):
        repair(lake, found, rewind=True)
    entries = list_log(lake.files, "raw_masks").entries
    assert sorted(entries) == [0, 1, 3, 4, 5], "nothing was set aside"
    assert b'"add"' in lake.files.read(log_entry("raw_masks", 5)), "the other's commit is there"

    again = examine(lake, ["raw_masks"], deep=False)
    repair(lake, again, rewind=True)
    assert lake.read("raw_masks")["image_id"].to_list() == ["a"]


def test_whoever_commits_while_a_log_is_rewound_loses(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = lake.table("raw_masks")
    break_log(lake)
    found = examine(lake, ["raw_masks"], deep=False)
    move = ObjectFiles.move
    lost: list[str] = []

    def beside(files: ObjectFiles, path: str, to: str) -> None:
        monkeypatch.setattr(ObjectFiles, "move", move)
        adds = write_parts(lake.files, TABLES["raw_masks"], masks("late").to_batches())
        with pytest.raises((LakeError, DeltaError)) as caught:
            commit(lake.files, "raw_masks", opened, lambda: lake.table("raw_masks"), adds)
        lost.append(str(caught.value))
        move(files, path, to)

    monkeypatch.setattr(ObjectFiles, "move", beside)
    repair(lake, found, rewind=True)
    assert lost, "nobody committed meanwhile"
    assert lake.read("raw_masks")["image_id"].to_list() == ["a"]
    assert lake.append("raw_masks", masks("late")) == 6
    assert sorted(lake.read("raw_masks")["image_id"]) == ["a", "late"]


def test_an_object_that_is_there_is_not_written_over(lake: Lake) -> None:
    lake.files.create("x/1.json", b"one")
    lake.files.create("x/1.json", b"one")  # a request that was repeated
    with pytest.raises(FileExistsError):
        lake.files.create("x/1.json", b"two")
    assert lake.files.read("x/1.json") == b"one"

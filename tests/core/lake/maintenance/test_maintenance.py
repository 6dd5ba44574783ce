"""Compaction, vacuum and checkpoints on real tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from support.ageing import age

from boatseg_core.errors import LakeError
from boatseg_core.lake import TABLES, Lake, files_local
from boatseg_core.lake.commit import CHECKPOINT_EVERY, active_files
from boatseg_core.lake.commit import checkpoint as write_checkpoint
from boatseg_core.lake.log import list_log
from boatseg_core.lake.maintenance import checkpoint, optimize, vacuum
from boatseg_core.lake.snapshot import Snapshot


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def labels(*names: str) -> pa.Table:
    rows = [{"image_id": n, "encoded_pixels": "1 2", "line": i} for i, n in enumerate(names)]
    return pa.Table.from_pylist(rows, schema=TABLES["raw_masks"].schema)


def pictures(batch_id: str, count: int, size: int = 1000) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"image_id": f"{batch_id}-{i}", "batch_id": batch_id, "image": bytes([i]) * size}
            for i in range(count)
        ],
        schema=TABLES["raw_images"].schema,
    )


def files_of(lake: Lake, name: str) -> list[str]:
    return sorted(active_files(lake.table(name))["path"].to_list())


# Compaction


def test_small_files_become_one_in_their_order(lake: Lake) -> None:
    for number in range(12):
        lake.append(
            "raw_masks",
            labels(f"a{number:02}", f"b{number:02}"),
            app_id="seal",
            app_version=number + 1,
        )
    before = lake.scan("raw_masks").collect().sort("image_id")
    version = lake.version("raw_masks")

    (done,) = optimize(lake, ["raw_masks"])

    assert (done.files_before, done.files_after) == (12, 1)
    assert lake.scan("raw_masks").collect().sort("image_id").equals(before)
    order = lake.read("raw_masks")["image_id"].to_list()
    assert order == [f"{x}{n:02}" for n in range(12) for x in "ab"]
    assert lake.count("raw_masks") == 24
    # rows did not change, and whoever follows changes is told so
    entry = Path(lake.uri("raw_masks"), "_delta_log", f"{lake.version('raw_masks'):020d}.json")
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    changes = {a.get("add", a.get("remove", {})).get("dataChange") for a in actions}
    assert changes == {None, False}
    assert lake.read("raw_masks", version=version).height == 24
    # a second time there is nothing to do, and no version is made
    newest = lake.version("raw_masks")
    (again,) = optimize(lake, ["raw_masks"])
    assert (again.files_before, again.bytes_rewritten) == (1, 0)
    assert lake.version("raw_masks") == newest


def test_application_transactions_outlive_all_upkeep(lake: Lake) -> None:
    for number in range(15):
        lake.append("raw_masks", labels(f"a{number}"), app_id="seal", app_version=number + 1)
    optimize(lake)
    age(lake.root, "raw_masks", 1000)
    done = checkpoint(lake, log_days=1)
    assert done[0].checkpoint == lake.version("raw_masks")
    assert done[0].cleaned >= 15
    vacuum(lake, keep_days=0, dry_run=False)

    fresh = Lake(lake.root)
    assert fresh.table("raw_masks").transaction_version("seal") == 15
    assert fresh.append("raw_masks", labels("a0"), app_id="seal", app_version=15) is None
    assert fresh.append("raw_masks", labels("z"), app_id="seal", app_version=16) is not None
    assert fresh.count("raw_masks") == fresh.read("raw_masks").height == 16


def test_a_batch_of_pictures_that_is_one_file_is_never_rewritten(lake: Lake) -> None:
    for batch_id in ("b1", "b2"):
        lake.replace_batch("raw_images", batch_id, pictures(batch_id, 3))
    before = files_of(lake, "raw_images")
    (done,) = optimize(lake, ["raw_images"])
    assert done.bytes_rewritten == 0
    assert files_of(lake, "raw_images") == before
    assert lake.version("raw_images") == 2


def test_a_batch_in_small_pieces_becomes_one_file(lake: Lake) -> None:
    for start in range(3):
        lake.append("raw_images", pictures("b1", 4).slice(start, 1))
    lake.replace_batch("raw_images", "b2", pictures("b2", 2))
    (done,) = optimize(lake, ["raw_images"])
    assert (done.files_before, done.files_after) == (4, 2)
    assert lake.counts("raw_images") == {"b1": 3, "b2": 2}
    images = lake.read("raw_images", ["image_id", "image"], batch_id="b1")
    assert dict(images.iter_rows()) == {f"b1-{i}": bytes([i]) * 1000 for i in range(3)}


def test_files_that_are_large_enough_are_left_alone(lake: Lake) -> None:
    lake.append("raw_masks", labels(*map(str, range(5000))))
    for number in range(3):
        lake.append("raw_masks", labels(f"x{number}"))
    large = max(
        active_files(lake.table("raw_masks")).iter_rows(named=True), key=lambda r: r["size_bytes"]
    )
    (done,) = optimize(lake, ["raw_masks"], small_bytes=large["size_bytes"])
    assert done.files_after == 2
    assert large["path"] in files_of(lake, "raw_masks")


COMPACT = """
import sys
from boatseg_core.lake import Lake
from boatseg_core.lake.maintenance import optimize
for _ in range(6):
    optimize(Lake(sys.argv[1]), ["raw_masks"])
"""


def test_compaction_beside_writers_loses_and_doubles_nothing(lake: Lake) -> None:
    lake.append("raw_masks", labels("first"))
    with subprocess.Popen([sys.executable, "-c", COMPACT, lake.root]) as process:
        for number in range(60):
            lake.append("raw_masks", labels(f"n{number}"), app_id="seal", app_version=number + 1)
        assert process.wait(60) == 0
    names = lake.read("raw_masks")["image_id"]
    assert sorted(names) == sorted(["first", *(f"n{n}" for n in range(60))])
    assert lake.table("raw_masks").transaction_version("seal") == 60


def test_a_file_that_does_not_hold_what_the_log_says_is_not_compacted(lake: Lake) -> None:
    lake.append("raw_masks", labels("a", "b"))
    lake.append("raw_masks", labels("c"))
    path = Path(lake.uri("raw_masks"), files_of(lake, "raw_masks")[0])
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(LakeError, match=r"not compacted.*boatseg lake doctor"):
        optimize(lake, ["raw_masks"])
    assert lake.version("raw_masks") == 2


# Vacuum


def test_vacuum_deletes_what_no_kept_version_needs(lake: Lake) -> None:
    versions = [lake.replace_batch("raw_images", "b1", pictures("b1", n)) for n in (1, 2, 3)]
    first, second, third = (
        set(active_files(lake.table("raw_images", version))["path"]) for version in versions
    )
    age(lake.root, "raw_images", 100)

    (dry,) = vacuum(lake, ["raw_images"], keep_days=30)
    assert set(dry.files) == first | second
    assert dry.bytes == sum(Path(lake.uri("raw_images"), f).stat().st_size for f in dry.files)
    assert lake.read("raw_images", version=versions[0]).height == 1, "a dry run deletes nothing"

    # a model was trained on the second version
    keep = {"raw_images": [versions[1]]}
    (done,) = vacuum(lake, ["raw_images"], keep_days=30, keep_versions=keep, dry_run=False)
    assert set(done.files) == first
    assert done.pinned == [versions[1]]
    assert lake.read("raw_images", version=versions[1]).height == 2
    assert lake.read("raw_images").height == 3
    (rest,) = vacuum(lake, ["raw_images"], keep_days=30, dry_run=False)
    assert set(rest.files) == second
    (now,) = vacuum(lake, ["raw_images"], keep_days=30)
    assert (now.files, now.kept_files) == ([], len(third))


def test_versions_within_the_retention_stay_readable(lake: Lake) -> None:
    versions = [lake.replace_batch("raw_images", "b1", pictures("b1", n)) for n in (1, 2, 3)]
    age(lake.root, "raw_images", 100, up_to=versions[1])
    # 50 days ago the second version was in force; the first had been replaced already
    vacuum(lake, ["raw_images"], keep_days=50, dry_run=False)
    assert lake.read("raw_images", version=versions[1]).height == 2
    with pytest.raises(LakeError, match=r"raw_images .* is gone"):
        lake.read("raw_images", ["image"], version=versions[0])


def test_files_nobody_committed_go_but_not_while_they_may_still_be(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 1))
    orphan = Path(lake.uri("raw_images"), "batch_id=b1", "part-00000-killed.parquet")
    orphan.write_bytes(b"x" * 100)
    assert vacuum(lake, ["raw_images"], keep_days=0)[0].files == []
    age(lake.root, "raw_images", 2)
    (done,) = vacuum(lake, ["raw_images"], keep_days=0, dry_run=False)
    assert done.files == ["batch_id=b1/part-00000-killed.parquet"]
    assert not orphan.exists()
    assert lake.read("raw_images").height == 1


def test_nothing_is_deleted_under_a_damaged_log(lake: Lake) -> None:
    for count in (1, 2):
        lake.replace_batch("raw_images", "b1", pictures("b1", count))
    age(lake.root, "raw_images", 100)
    Path(lake.uri("raw_images"), "_delta_log", f"{1:020d}.json").write_bytes(b"")
    before = sorted(Path(lake.root).rglob("*.parquet"))
    with pytest.raises(LakeError, match=r"damaged.*boatseg lake doctor"):
        vacuum(lake, ["raw_images"], keep_days=150, dry_run=False)
    assert sorted(Path(lake.root).rglob("*.parquet")) == before


# Checkpoints


def test_a_checkpoint_is_written_when_it_is_due(lake: Lake) -> None:
    lake.append("raw_masks", labels("a"))
    assert checkpoint(lake)[0].checkpoint is None, "not worth one yet"
    for number in range(CHECKPOINT_EVERY - 1):
        lake.append("raw_masks", labels(str(number)))
    log = list_log(lake.files, "raw_masks")
    assert sorted(log.checkpoints) == [CHECKPOINT_EVERY], "written by the writer itself"
    # the log before it is not needed to open the table
    for version in range(CHECKPOINT_EVERY):
        Path(lake.root, log.entries[version].path).unlink()
    assert Lake(lake.root).read("raw_masks").height == CHECKPOINT_EVERY


def test_a_checkpoint_opens_its_version_where_no_repair_can_come_in_between(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append("raw_masks", labels("a"))
    monkeypatch.setattr(files_local, "_PATIENCE", 0.1)
    repairs = Lake(lake.root)

    def reopen() -> DeltaTable:
        # A lock that was held by nobody would be had at once.
        with pytest.raises(LakeError, match="commit"), repairs.files.alone():
            pass
        return lake.table("raw_masks")

    write_checkpoint(lake.files, "raw_masks", reopen)
    assert list_log(lake.files, "raw_masks").checkpoints
    with repairs.files.alone() as locked:
        assert locked


def test_clean_up_keeps_what_opens_a_models_version(lake: Lake) -> None:
    for number in range(12):
        lake.append("raw_masks", labels(str(number)))
    checkpoint(lake)
    for number in range(12):
        lake.append("raw_masks", labels(str(number)))
    checkpoint(lake)
    age(lake.root, "raw_masks", 1000)
    (kept,) = checkpoint(lake, log_days=365, keep_versions={"raw_masks": [15]})
    assert lake.read("raw_masks", version=15).height == 15
    assert lake.read("raw_masks", version=12).height == 12
    assert kept.cleaned == 12
    (done,) = checkpoint(lake, log_days=365)
    assert done.cleaned > 0
    assert lake.read("raw_masks", version=24).height == 24
    with pytest.raises(LakeError, match="version 15"):
        lake.table("raw_masks", 15)


@pytest.mark.parametrize("reader", ["arrow", "polars"])
def test_statistics_in_the_log_never_hide_a_row(lake: Lake, reader: str) -> None:
    rows = [
        {"image_id": "a", "encoded_pixels": None, "line": -5},
        {"image_id": "z" * 300, "encoded_pixels": "x", "line": 2**60},
        {"image_id": "ä\U0001f6a2", "encoded_pixels": "", "line": None},
    ]
    for row in rows:
        lake.append("raw_masks", pa.Table.from_pylist([row], TABLES["raw_masks"].schema))
    lake.append("raw_masks", pa.Table.from_pylist(rows, TABLES["raw_masks"].schema))
    scan = lake.scan("raw_masks") if reader == "arrow" else Snapshot(lake).scan("raw_masks")
    for row in rows:
        assert scan.filter(pl.col("image_id") == row["image_id"]).collect().height == 2
        assert scan.filter(pl.col("image_id").is_in([row["image_id"]])).collect().height == 2
    assert scan.filter(pl.col("encoded_pixels").is_null()).collect().height == 2
    assert scan.filter(pl.col("line").is_null()).collect().height == 2
    assert scan.filter(pl.col("line") >= 2**60).collect().height == 2
    assert scan.filter(pl.col("line") < 0).collect().height == 2
    assert scan.filter(pl.col("encoded_pixels") == "").collect().height == 2

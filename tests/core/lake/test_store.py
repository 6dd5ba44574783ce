from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from boatseg_core.errors import LakeError
from boatseg_core.lake import TABLES, Lake, parts

# What the racing processes run: all wait for one moment, which is late enough for every one of them
# to have imported.
PRELUDE = """
import sys, time
import pyarrow as pa
from boatseg_core.lake import TABLES, Lake

lake, start, name = Lake(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
def table(table, rows):
    return pa.Table.from_pylist(rows, schema=TABLES[table].schema)
time.sleep(max(0, start - time.time()))
"""
APPEND = """
for number in range(10):
    rows = table("raw_masks", [{"image_id": f"{name}-{number}"}])
    lake.append("raw_masks", rows, app_id=f"{name}-{number}")
"""
REPLACE = """
for batch_id in (f"{name}-{number}" for number in range(6)):
    for count in (1, 3):  # replaced once more, as a retry would
        rows = [{"image_id": f"{batch_id}-{i}", "batch_id": batch_id} for i in range(count)]
        lake.replace_batch("raw_images", batch_id, table("raw_images", rows))
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def rows(name: str, values: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(values, schema=TABLES[name].schema)


def pictures(batch_id: str, count: int, size: int = 10, tag: int = 0) -> pa.Table:
    return rows(
        "raw_images",
        [
            {
                "image_id": f"{batch_id}-{i}",
                "batch_id": batch_id,
                "image": bytes([i % 256]) * size,
                "width": tag,
            }
            for i in range(count)
        ],
    )


def labels(*names: str) -> pa.Table:
    return rows("raw_masks", [{"image_id": n, "encoded_pixels": "", "line": 2} for n in names])


# Reading what is not there


def test_a_missing_table_reads_as_empty_and_opens_as_an_error(lake: Lake) -> None:
    assert not lake.exists("raw_images")
    assert lake.version("raw_images") is None
    assert lake.counts("raw_images") == {}
    assert list(lake.batches("raw_images")) == []
    assert lake.scan("raw_images").collect().columns == TABLES["raw_images"].schema.names
    assert lake.read("raw_images").columns == list(TABLES["raw_images"].narrow)
    with pytest.raises(LakeError, match="raw_images does not exist yet"):
        lake.table("raw_images")
    with pytest.raises(LakeError, match="no table is called 'raw_image'"):
        lake.read("raw_image")


@pytest.mark.parametrize("name", list(TABLES))
def test_every_table_is_created_with_its_schema_and_comments(lake: Lake, name: str) -> None:
    table = lake.create(name)
    assert lake.create(name).version() == table.version() == 0
    spec = TABLES[name]
    assert table.metadata().partition_columns == list(spec.partition_by)
    assert table.metadata().description == spec.description
    fields = {field.name: field for field in table.schema().fields}
    assert list(fields) == spec.schema.names
    for column in spec.columns:
        assert fields[column.name].metadata["comment"] == column.comment


# Appending


def test_append_once_for_an_application_transaction(lake: Lake) -> None:
    assert lake.append("raw_masks", labels("a"), app_id="x") == 1
    assert lake.append("raw_masks", labels("a"), app_id="x") is None
    assert Lake(lake.root).append("raw_masks", labels("a"), app_id="x") is None
    assert lake.append("raw_masks", labels("b"), app_id="y") == 2
    assert lake.append("raw_masks", labels("c"), app_id="x", app_version=2) == 3
    assert lake.append("raw_masks", labels("d"), app_id="x", app_version=1) is None
    assert sorted(lake.read("raw_masks")["image_id"]) == ["a", "b", "c"]


def test_append_without_a_transaction_adds_every_time(lake: Lake) -> None:
    for _ in range(2):
        lake.append("raw_masks", labels("a"))
    assert lake.read("raw_masks").height == 2


def test_frames_are_brought_to_the_tables_columns(lake: Lake) -> None:
    frame = pl.DataFrame(
        {
            "label_version": [1],
            "line": pl.Series([2], dtype=pl.Int8),
            "source_file": ["m"],
            "more": [0],
            "encoded_pixels": pl.Series([None], dtype=pl.String),
            "image_id": ["a"],
        }
    )
    others = set(TABLES["raw_masks"].narrow) - set(frame.columns)
    frame = frame.with_columns(pl.lit(None).alias(name) for name in others)
    lake.append("raw_masks", frame)
    assert lake.read("raw_masks").rows()[0][:5] == ("a", None, "m", 2, 1)
    with pytest.raises(LakeError, match="columns image_id, line are missing for table raw_masks"):
        lake.append("raw_masks", frame.drop("image_id", "line"))


def race(lake: Lake, work: str, names: list[str], *, delay: float = 3) -> None:
    start = str(time.time() + delay)
    processes = [
        subprocess.Popen([sys.executable, "-c", PRELUDE + work, lake.root, start, name])
        for name in names
    ]
    assert [process.wait(120) for process in processes] == [0] * len(processes)


def test_racing_processes_append_each_transaction_once(lake: Lake) -> None:
    # Two race over the same ten transactions, a third has ten of its own.
    race(lake, APPEND, ["same", "same", "own"])
    names = sorted(lake.read("raw_masks")["image_id"])
    assert names == sorted(f"{app_id}-{n}" for app_id in ("same", "own") for n in range(10))


# Replacing a batch


def test_replace_is_idempotent_and_touches_one_batch(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 3))
    lake.replace_batch("raw_images", "b2", pictures("b2", 2))
    for _ in range(2):
        version = lake.replace_batch("raw_images", "b1", pictures("b1", 4))
    assert version == lake.version("raw_images")
    assert lake.counts("raw_images") == {"b1": 4, "b2": 2}
    assert sorted(lake.read("raw_images", ["image_id"], batch_id="b1")["image_id"]) == [
        f"b1-{i}" for i in range(4)
    ]


def test_an_empty_replacement_empties_the_batch_alone(lake: Lake) -> None:
    assert lake.replace_batch("raw_images", "b1", pictures("b1", 0)) == lake.version("raw_images")
    assert lake.read("raw_images").is_empty()
    lake.replace_batch("raw_images", "b1", pictures("b1", 3))
    lake.replace_batch("raw_images", "b2", pictures("b2", 2))
    lake.replace_batch("raw_images", "b1", pictures("b1", 0))
    assert lake.counts("raw_images") == {"b2": 2}
    assert lake.read("raw_images", batch_id="b1").is_empty()


def test_a_stream_replaces_a_batch_in_one_commit(lake: Lake) -> None:
    def stream() -> Iterator[pa.RecordBatch]:
        for _ in range(5):
            yield from pictures("b1", 10).to_batches()

    schema = TABLES["raw_images"].schema
    reader = pa.RecordBatchReader.from_batches(schema, stream())
    lake.create("raw_images")
    assert lake.replace_batch("raw_images", "b1", reader) == 1
    assert lake.counts("raw_images") == {"b1": 50}


def test_a_stream_that_fails_leaves_the_batch_as_it_was(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 3))

    def stream() -> Iterator[pa.RecordBatch]:
        yield from pictures("b1", 1, tag=9).to_batches()
        raise ValueError("the disk of the landing folder is gone")

    reader = pa.RecordBatchReader.from_batches(TABLES["raw_images"].schema, stream())
    with pytest.raises(ValueError, match="landing folder is gone"):
        lake.replace_batch("raw_images", "b1", reader)
    assert lake.read("raw_images", ["width"]).to_series().to_list() == [0, 0, 0]


def test_a_stream_may_read_another_table_while_it_is_written(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 100))
    schema = TABLES["gold_dataset"].schema

    def stream() -> Iterator[pa.RecordBatch]:
        for batch in lake.batches("raw_images", ["image_id", "batch_id", "image"], rows=16):
            assert lake.version("raw_images") == 1
            yield from pa.Table.from_pylist(batch.to_pylist(), schema=schema).to_batches()

    reader = pa.RecordBatchReader.from_batches(schema, stream())
    lake.replace_batch("gold_dataset", "b1", reader)
    assert lake.counts("gold_dataset") == {"b1": 100}


def test_rows_of_another_batch_are_refused(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b2", pictures("b2", 2))
    with pytest.raises(LakeError, match="a row of batch b2 was to be written to batch b1"):
        lake.replace_batch("raw_images", "b1", pictures("b2", 1, tag=9))
    assert lake.read("raw_images", ["width"]).to_series().to_list() == [0, 0]


@pytest.mark.parametrize("batch_id", ["", "a b", "a'b", "a/b", "b_1", "ü", "x' OR '1'='1", "..\n"])
def test_a_bad_batch_id_is_refused(lake: Lake, batch_id: str) -> None:
    with pytest.raises(LakeError, match="not a batch id"):
        lake.replace_batch("raw_images", batch_id, pictures(batch_id, 1))
    assert not lake.exists("raw_images")


def test_a_table_without_batches_is_refused(lake: Lake) -> None:
    with pytest.raises(LakeError, match="raw_masks is not partitioned"):
        lake.replace_batch("raw_masks", "b1", labels("a"))


def test_concurrent_replacements_of_different_batches_lose_nothing(lake: Lake) -> None:
    race(lake, REPLACE, ["w0", "w1", "w2", "w3"])
    expected = {f"w{worker}-{number}": 3 for worker in range(4) for number in range(6)}
    assert lake.counts("raw_images") == expected
    ids = lake.read("raw_images", ["image_id"])["image_id"]
    assert sorted(ids) == sorted(f"{batch}-{i}" for batch in expected for i in range(3))


# Pinning, streaming, layout on disk


def test_a_pinned_version_does_not_move(lake: Lake) -> None:
    first = lake.replace_batch("raw_images", "b1", pictures("b1", 3))
    second = lake.replace_batch("raw_images", "b1", pictures("b1", 5))
    lake.replace_batch("raw_images", "b2", pictures("b2", 5))
    assert lake.read("raw_images", version=first).height == 3
    assert lake.scan("raw_images", first).collect().height == 3
    assert sum(b.num_rows for b in lake.batches("raw_images", version=second)) == 5
    assert lake.table("raw_images", first).version() == first
    with pytest.raises(LakeError, match="raw_images has no version 99: its newest is"):
        lake.table("raw_images", 99)


def test_streaming_gives_small_batches_of_the_columns_asked_for(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 100))
    lake.replace_batch("raw_images", "b2", pictures("b2", 10))
    batches = list(lake.batches("raw_images", ["image_id", "image"], batch_id="b1", rows=16))
    assert max(batch.num_rows for batch in batches) <= 16
    assert {tuple(batch.schema.names) for batch in batches} == {("image_id", "image")}
    images = {i: d for b in batches for i, d in zip(*b.to_pydict().values(), strict=True)}
    assert images == {f"b1-{i}": bytes([i]) * 10 for i in range(100)}


def test_a_process_may_end_in_the_middle_of_a_stream(lake: Lake) -> None:
    for number in range(30):
        lake.append("raw_masks", labels(str(number)))
    work = """
scanner = lake.dataset("raw_masks").scanner(batch_size=1, batch_readahead=4, fragment_readahead=8)
next(iter(scanner.to_batches()))
"""
    for _ in range(2):  # through delta-rs' own file handler nearly every try aborts or hangs
        race(lake, work, ["once"], delay=0)


def test_reading_by_default_leaves_pictures_alone(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 1))
    columns = set(lake.read("raw_images").columns)
    assert columns.isdisjoint({"image", "histogram", "tiles"})
    assert "width" in columns


def test_pictures_are_uncompressed_without_statistics_in_small_row_groups(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 600, size=1000))
    files = sorted(Path(lake.uri("raw_images")).rglob("*.parquet"))
    assert files
    groups = 0
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        groups += metadata.num_row_groups
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            assert group.num_rows <= 256
            for column in (group.column(i) for i in range(group.num_columns)):
                assert column.compression == "UNCOMPRESSED"
                if column.path_in_schema in ("image", "histogram", "tiles"):
                    assert column.statistics is None
                    assert not any("DICTIONARY" in encoding for encoding in column.encodings)
    assert groups >= 3


def test_row_groups_are_bounded_in_bytes_whatever_the_pictures_weigh(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "GROUP_BYTES", 100_000)
    sizes = [*[100] * 300, 70_000, 70_000, 250_000, *[20_000] * 12, 10]
    table = rows(
        "raw_images",
        [
            {"image_id": f"{i:03}", "batch_id": "b1", "image": bytes([i % 256]) * size}
            for i, size in enumerate(sizes)
        ],
    )
    lake.replace_batch("raw_images", "b1", table)  # one Arrow batch of everything
    (file,) = Path(lake.uri("raw_images")).rglob("*.parquet")
    metadata = pq.ParquetFile(file).metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    assert sum(group.num_rows for group in groups) == len(sizes)
    assert max(group.num_rows for group in groups) == 256
    # one picture may be larger than the bound, and then is alone
    large = [group.num_rows for group in groups if group.total_byte_size > 110_000]
    assert large == [1]
    images = lake.read("raw_images", ["image_id", "image"]).sort("image_id")["image"]
    assert [len(image) for image in images] == sizes


def test_pages_carry_checksums(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 20, size=1000))
    (file,) = Path(lake.uri("raw_images")).rglob("*.parquet")
    data = bytearray(file.read_bytes())
    data[data.index(bytes([7]) * 1000) + 500] ^= 1
    file.write_bytes(data)
    with pytest.raises(OSError, match="checksum"):
        pq.ParquetFile(file, page_checksum_verification=True).read()


def test_a_write_of_many_pictures_holds_little_memory(tmp_path: Path) -> None:
    work = """
import resource, sys
import pyarrow as pa
from boatseg_core.lake import TABLES, Lake

schema, blob = TABLES["raw_images"].schema, b"x" * 1_000_000
def stream():
    for number in range(0, 400, 8):
        rows = [{"image_id": str(number + i), "batch_id": "b", "image": blob} for i in range(8)]
        yield pa.RecordBatch.from_pylist(rows, schema)
lake = Lake(sys.argv[1])
lake.create("raw_images")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lake.replace_batch("raw_images", "b", pa.RecordBatchReader.from_batches(schema, stream()))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", work, str(tmp_path / "lake")],
        capture_output=True,
        text=True,
        check=True,
    )
    # 400 MB are written. A writer that holds the file in memory takes more than that.
    assert int(done.stdout) < 350


def test_tables_without_pictures_are_compressed(lake: Lake) -> None:
    lake.append("raw_masks", labels("a"))
    (file,) = Path(lake.uri("raw_masks")).rglob("*.parquet")
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"


def test_counts_come_from_the_log_alone(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 7))
    lake.replace_batch("raw_images", "b2", pictures("b2", 2))
    for file in Path(lake.uri("raw_images")).rglob("*.parquet"):
        file.unlink()
    assert lake.counts("raw_images") == {"b1": 7, "b2": 2}


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    lake = Lake(str(blocker / "lake"))
    with pytest.raises(LakeError, match="file/lake"):
        lake.append("raw_masks", labels("a"))


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw_masks").write_text("")
    with pytest.raises(LakeError, match=r"table raw_masks in .* cannot be read"):
        Lake(str(tmp_path)).read("raw_masks")


def test_two_writers_of_one_batch_cannot_both_win(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 1))

    def stream() -> Iterator[pa.RecordBatch]:
        yield from pictures("b1", 2).to_batches()
        Lake(lake.root).replace_batch("raw_images", "b1", pictures("b1", 3))

    reader = pa.RecordBatchReader.from_batches(TABLES["raw_images"].schema, stream())
    with pytest.raises(LakeError, match="batch b1 of table raw_images was not written"):
        lake.replace_batch("raw_images", "b1", reader)
    assert lake.counts("raw_images") == {"b1": 3}


def test_rows_taken_over_from_a_version_lose_to_who_wrote_the_batch_since(lake: Lake) -> None:
    lake.replace_batch("raw_images", "b1", pictures("b1", 1))
    first, second = lake.create("raw_images"), lake.create("raw_images")
    version = first.version()
    lake.replace_batch("raw_images", "b2", pictures("b2", 2))
    assert lake.replace_batch("raw_images", "b1", pictures("b1", 4), since=first) == version + 2
    with pytest.raises(LakeError, match="batch b1 of table raw_images was not written"):
        lake.replace_batch("raw_images", "b1", pictures("b1", 5), since=second)
    assert lake.counts("raw_images") == {"b1": 4, "b2": 2}


def test_a_few_rows_are_picked_with_their_pictures(lake: Lake) -> None:
    assert lake.pick("raw_images", ["image"], ["b1-1"], batch_ids=["b1"]).is_empty()
    for batch_id in ("b1", "b2"):
        lake.replace_batch("raw_images", batch_id, pictures(batch_id, 5))
    frame = lake.pick("raw_images", ["image"], ["b1-4", "b1-1", "b2-1"], batch_ids=["b1"])
    assert sorted(frame.rows()) == [("b1-1", "b1", b"\x01" * 10), ("b1-4", "b1", b"\x04" * 10)]
    assert lake.pick("raw_images", ["image"], [], batch_ids=["b1"]).is_empty()


def test_a_batch_that_stays_empty_is_no_commit_and_one_that_is_emptied_is(lake: Lake) -> None:
    nothing = TABLES["raw_images"].schema.empty_table()
    since = lake.create("raw_images")
    assert lake.replace_batch("raw_images", "b1", nothing) == 0
    assert lake.replace_batch("raw_images", "b1", pictures("b1", 1)) == 1
    # Somebody filled the batch since it was seen empty: emptying it again would lose their rows.
    with pytest.raises(LakeError, match="another process wrote it at the same time"):
        lake.replace_batch("raw_images", "b1", nothing, since=since)
    assert lake.replace_batch("raw_images", "b1", nothing) == 2
    assert lake.counts("raw_images") == {}
    assert lake.replace_batch("raw_images", "b1", nothing) == 2


def test_views_of_bytes_are_written_as_the_bytes_they_show(lake: Lake) -> None:
    long, short = bytes(range(256)) * 300, b"\x01\x02"
    table = pa.Table.from_pylist(
        [
            {"image_id": str(i), "batch_id": "b1", "image": image}
            for i, image in enumerate([long, short, None, b"", long[1:]])
        ],
        TABLES["raw_images"].schema,
    )
    at = table.schema.get_field_index("image")
    views = table.set_column(at, "image", table["image"].cast(pa.binary_view()))
    lake.replace_batch("raw_images", "b1", views.slice(0, 4))
    lake.replace_batch("raw_images", "b2", pictures("b2", 2))
    found = lake.read("raw_images", ["image_id", "image"], batch_id="b1").sort("image_id")
    assert found["image"].to_list() == [long, short, None, b""]
    assert lake.dataset("raw_images").schema.field("image").type == pa.binary()


@pytest.mark.parametrize("pinned", [None, 3])
def test_a_gap_in_the_log_is_said_in_a_sentence(tmp_path: Path, pinned: int | None) -> None:
    lake = Lake(str(tmp_path))
    rows = [{"image_id": "x", "batch_id": "b"}]
    table = pa.Table.from_pylist(rows, TABLES["quarantine"].schema)
    for _ in range(4):
        lake.replace_batch("quarantine", "b", table)
    (tmp_path / "quarantine" / "_delta_log" / f"{2:020}.json").unlink()
    with pytest.raises(LakeError) as caught:
        lake.table("quarantine", pinned)
    assert str(caught.value) == (
        f"table quarantine in {tmp_path} cannot be opened: version 2 is missing in its log; "
        "`boatseg lake doctor` says what is damaged"
    )

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from rich.console import Console

from boatseg_core.errors import InputError, LakeError
from boatseg_core.lake import TABLES, Lake, sql_run, sql_snapshots
from boatseg_core.lake import sql as sql_module
from boatseg_core.lake.sql import ask, query, render_table
from boatseg_core.lake.sql_table import cell

PICTURE = 20_000  # bytes
ROWS = 600


def gold_rows(batch_id: str, count: int = ROWS) -> pa.Table:
    rows = {
        "image_id": [f"{batch_id}-{i}.jpg" for i in range(count)],
        "batch_id": [batch_id] * count,
        "image": [os.urandom(PICTURE) for _ in range(count)],
        "mask": [b"mask"] * count,
        "boat_count": [i % 4 for i in range(count)],
        "boat_area": [100 * (i % 4) for i in range(count)],
        "boat_areas": [[100] * (i % 4) for i in range(count)],
        "split": ["train" if i % 5 else "test" for i in range(count)],
    }
    schema = TABLES["gold_dataset"].schema
    return pa.table(
        [pa.array(rows.get(field.name, [None] * count), field.type) for field in schema],
        schema=schema,
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    lake.replace_batch("gold_dataset", "b1", gold_rows("b1"))
    lake.replace_batch("gold_dataset", "b2", gold_rows("b2"))
    lake.create("promotions")
    return lake


def read_bytes() -> int:
    """Bytes this process has read from files so far, cached or not."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("rchar: "):
            return int(line.split()[1])
    raise AssertionError("no rchar in /proc/self/io")


def test_select_joins_groups_and_cte(lake: Lake) -> None:
    frame = query(
        lake,
        "WITH t AS (SELECT split, boat_count FROM gold_dataset) "
        "SELECT split, count(*) AS images, sum(boat_count) AS boats FROM t GROUP BY 1 ORDER BY 1",
    )
    assert frame.columns == ["split", "images", "boats"]
    assert frame["images"].to_list() == [240, 960]
    assert frame["boats"].sum() == 1800
    assert frame.schema["boats"] == pl.Int64
    joined = query(
        lake,
        "select count(*) n from gold_dataset a join gold_dataset b using (image_id) "
        "where exists (select 1 from main.gold_dataset)",
    )
    assert joined.item() == 1200


@pytest.mark.parametrize(
    "text",
    [
        "DESCRIBE gold_dataset",
        "SHOW TABLES",
        "EXPLAIN SELECT count(*) FROM gold_dataset",
        "explain analyze select count(*) from gold_dataset",
        "SUMMARIZE SELECT boat_count FROM gold_dataset",
        "FROM gold_dataset SELECT boat_count LIMIT 1",
        "VALUES (1), (2)",
        "SELECT * FROM range(3), unnest([1, 2])",
        "with recursive t(n) as (select 1 union all select n + 1 from t where n < 9) from t",
        "select table_name from information_schema.tables;",
        "  select 1 -- with a comment\n",
    ],
)
def test_reading_statements_run(lake: Lake, text: str) -> None:
    assert query(lake, text).height > 0


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux's /proc/self/io")
def test_narrow_queries_never_read_a_picture(lake: Lake) -> None:
    query(lake, "select count(*) from gold_dataset")  # imports and footers
    all_pictures = 2 * ROWS * PICTURE
    for text, bound in [
        ("select count(*) from gold_dataset", 0.05),
        ("select split, avg(boat_count) from gold_dataset group by 1", 0.05),
        ("select image_id from gold_dataset where boat_count = 3 and batch_id = 'b2'", 0.05),
        ("select sum(octet_length(image)) from gold_dataset where batch_id = 'b1'", 0.55),
    ]:
        before = read_bytes()
        query(lake, text)
        assert read_bytes() - before < bound * all_pictures, text
    before = read_bytes()
    total = query(lake, "select sum(octet_length(image)) as n from gold_dataset").item()
    assert total == all_pictures
    assert read_bytes() - before > all_pictures  # the measure measures


@pytest.mark.parametrize(
    ("text", "columns", "bounded"),
    [
        ("select image from gold_dataset limit 1", ["image"], True),
        ("select octet_length(mask) from gold_dataset limit 1", ["mask"], True),
        ("select split from gold_dataset limit 1", ["split"], False),
        ("select count(*) from gold_dataset", ["image_id"], False),
    ],
)
def test_scans_of_pictures_and_only_those_read_a_little_ahead(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, text: str, columns: list[str], bounded: bool
) -> None:
    seen: list[tuple[list[str], bool]] = []
    original = sql_snapshots.Snapshot.options

    def spy(self: ds.Dataset, wanted: list[str] | None) -> dict[str, object]:
        options = original(self, wanted)
        seen.append((list(wanted or []), "batch_readahead" in options))
        return options

    monkeypatch.setattr(sql_snapshots.Snapshot, "options", spy)
    query(lake, text)
    # DuckDB scans through our class, and asks for the columns of the query alone.
    assert seen == [(columns, bounded)]


def test_versions_are_pinned(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    first = lake.replace_batch("gold_dataset", "b1", gold_rows("b1", 3))
    second = lake.replace_batch("gold_dataset", "b1", gold_rows("b1", 5))
    count = "select count(*) from gold_dataset"
    assert query(lake, count).item() == 5
    assert query(lake, count, versions={"gold_dataset": first}).item() == 3
    assert query(lake, count, versions={"gold_dataset": second}).item() == 5
    with pytest.raises(LakeError, match="gold_dataset has no version 99: its newest is"):
        query(lake, count, versions={"gold_dataset": 99})
    with pytest.raises(InputError, match="no table is called 'gold'"):
        query(lake, count, versions={"gold": 1})


def test_tables_are_read_as_they_were_at_a_time(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    before = datetime.now(UTC)
    time.sleep(0.01)
    lake.replace_batch("gold_dataset", "b1", gold_rows("b1", 3))
    time.sleep(0.01)
    between = datetime.now(UTC)
    time.sleep(0.01)
    newer = lake.replace_batch("gold_dataset", "b1", gold_rows("b1", 5))
    lake.create("promotions")
    count = "select count(*) from gold_dataset"

    assert query(lake, count, at=between).item() == 3
    assert query(lake, count, at=datetime.now(UTC)).item() == 5
    assert query(lake, count, at=between.replace(tzinfo=None)).item() == 3  # UTC
    # One table by its number, the others by the time.
    assert query(lake, count, at=between, versions={"gold_dataset": newer}).item() == 5
    for at, table in ((before, "gold_dataset"), (between, "promotions")):
        with pytest.raises(InputError, match=f"{table} did not exist yet at 20"):
            query(lake, f"select * from {table}", at=at)


def test_a_log_that_was_cleaned_up_says_how_far_back_it_reaches(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    before = datetime.now(UTC)
    lake.replace_batch("gold_dataset", "b1", gold_rows("b1", 3))
    lake.table("gold_dataset").create_checkpoint()
    (tmp_path / "gold_dataset" / "_delta_log" / f"{0:020}.json").unlink()
    with pytest.raises(LakeError, match=r"no longer reaches back to .* oldest entry is version 1"):
        query(lake, "select count(*) from gold_dataset", at=before)


def test_an_answer_is_pinned_when_asked_and_read_when_wanted(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    version = lake.replace_batch("gold_dataset", "b1", gold_rows("b1", 3))
    answer = ask(lake, "select split, boat_count from gold_dataset order by image_id")
    lake.replace_batch("gold_dataset", "b1", gold_rows("b1", 5))

    assert answer.stats is None
    assert answer.versions == {"gold_dataset": version}
    assert answer.polars().height == answer.arrow().num_rows == 3
    assert answer.polars() is answer.polars()
    assert answer.arrow().column_names == ["split", "boat_count"]
    assert "boat_count" in answer._repr_html_() and f"gold_dataset at {version}" in repr(answer)


def test_a_lazy_answer_reads_the_columns_it_is_asked_for(lake: Lake) -> None:
    answer = ask(lake, "select * from gold_dataset where batch_id = 'b2'")
    frame = answer.lazy()

    assert frame.select(pl.col("boat_count").mean()).collect().item() == 1.5
    assert answer.stats is not None
    read = answer.stats.tables["gold_dataset"]
    assert read.columns == ["boat_count"]  # batch_id is known from the partition
    assert (read.files, read.of_files) == (1, 2)
    assert read.of_bytes > 2 * ROWS * PICTURE
    if answer.stats.bytes_read is not None:
        assert answer.stats.bytes_read < 0.05 * read.of_bytes
    assert frame.select(pl.len()).collect().item() == ROWS
    assert read.columns == ["boat_count"]  # what one run read is not changed by the next
    few = frame.filter(pl.col("boat_count") == 3).select("image_id", "image").head(2).collect()
    assert few.height == 2 and few["image"].bin.size().to_list() == [PICTURE] * 2
    assert frame.head(7).select("split").collect().height == 7
    assert frame.collect_schema().names() == TABLES["gold_dataset"].schema.names


@pytest.mark.parametrize(
    "text",
    [
        'select 1 as a, 2 as a, \'x\' as "o\'dd ""name"',
        "describe gold_dataset",
        "explain select count(*) from gold_dataset",
        "from range(3) -- with a comment",
        "select 1 where false",
    ],
)
def test_lazy_answers_equal_read_ones(lake: Lake, text: str) -> None:
    answer = ask(lake, text)
    lazy = answer.lazy()
    for name in lazy.collect_schema().names():
        assert lazy.select(name).collect().equals(query(lake, text).select(name))
    assert lazy.collect().equals(query(lake, text))
    assert lazy.filter(pl.lit(False)).collect().is_empty()


def test_only_the_tables_that_are_named_are_opened(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = Lake.dataset

    def spy(self: Lake, name: str, version: int | None = None) -> ds.Dataset:
        opened.append(name)
        return real(self, name, version)

    monkeypatch.setattr(Lake, "dataset", spy)
    query(lake, 'select count(*) from "GOLD_dataset"')
    assert opened == ["gold_dataset"]
    query(lake, "show tables")
    assert set(opened) == {"gold_dataset", "promotions"}


def test_an_empty_table_has_columns_and_no_rows(lake: Lake) -> None:
    frame = query(lake, "select * from promotions")
    assert frame.height == 0
    assert frame.columns == [column.name for column in TABLES["promotions"].columns]


SECRET = "/etc/hostname"
ATTACKS = [
    f"SELECT * FROM '{SECRET}'",
    f"SELECT * FROM read_csv('{SECRET}')",
    f"SELECT * FROM read_text('{SECRET}')",
    f"SELECT (SELECT content FROM read_blob('{SECRET}'))",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM parquet_scan('x.parquet')",
    f"WITH t AS MATERIALIZED (FROM sniff_csv('{SECRET}')) SELECT 1",
    "SELECT 1 WHERE EXISTS (FROM arrow_scan(1, 2, 3))",
    "SELECT * FROM gold_dataset, LATERAL (FROM pandas_scan(4711))",
    "SELECT * FROM ARROW_SCAN_DUMB(1, 2, 3)",
    "SELECT * FROM python_map_function(1, 2)",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('gold_dataset')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM enable_logging()",
    "EXPLAIN SELECT * FROM arrow_scan(1, 2, 3)",
    "EXPLAIN ANALYZE SELECT * FROM read_text('x')",
    "EXPLAIN (FORMAT json) SELECT 1",
    "EXPLAIN DELETE FROM gold_dataset",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "DESCRIBE SELECT * FROM read_csv('x')",
    "SUMMARIZE SELECT * FROM read_csv('x')",
    "COPY gold_dataset TO '{out}'",
    "COPY (SELECT 1) TO '{out}'",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}'",
    "INSTALL httpfs",
    "LOAD delta",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "SET memory_limit = '64GB'",
    "RESET memory_limit",
    "CREATE TABLE t AS SELECT 1",
    "CREATE SECRET s (TYPE s3)",
    "CREATE MACRO f() AS TABLE SELECT 1",
    "INSERT INTO gold_dataset SELECT * FROM gold_dataset",
    "UPDATE gold_dataset SET split = 'x'",
    "DELETE FROM gold_dataset",
    "DROP VIEW gold_dataset",
    "ALTER TABLE gold_dataset RENAME TO x",
    "PIVOT gold_dataset ON split USING count(*)",
    "VACUUM",
    "CHECKPOINT",
    "PREPARE p AS SELECT 1",
    "BEGIN",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW gold_dataset",
    "SELECT * FROM gold_dataset AT (VERSION => 0)",
    "SELECT * FROM lake",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM duckdb_settings",
    "",
    " ; ",
    "-- nothing",
    "SELECT '\ud800'",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_attacks_are_refused_in_a_sentence(lake: Lake, text: str, tmp_path: Path) -> None:
    out = tmp_path / "stolen"
    with pytest.raises(InputError) as caught:
        query(lake, text.replace("{out}", str(out)), seconds=5)
    message = str(caught.value)
    assert len(message) > 20 and "\n" not in message and "Traceback" not in message
    assert not out.exists()


def test_a_table_that_was_not_written_yet_is_empty_and_has_its_columns(lake: Lake) -> None:
    for name in ("drift", "predictions"):
        assert not lake.exists(name)
        answer = ask(lake, f"select * from {name.upper()}")
        assert answer.polars().is_empty() and not answer.versions
        assert answer.polars().columns == TABLES[name].schema.names
        assert answer.lazy().collect().columns == TABLES[name].schema.names
    joined = query(
        lake, "select count(*) n from gold_dataset left join predictions using (image_id)"
    )
    assert joined["n"].item() == lake.count("gold_dataset")
    with pytest.raises(LakeError):
        query(lake, "select * from drift", versions={"drift": 0})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("select boat_cuont from gold_dataset", 'boat_cuont" not found.*"boat_count"'),
        ("select * from gold_datset", "no table 'gold_datset': did you mean gold_dataset"),
        ("select * from zzzzzz", "there are files, .*gold_dataset, .*promotions"),
        ("selec 1", "not SQL: syntax error"),
        ("select lenght(split) from gold_dataset", 'lenght does not exist: Did you mean "length"'),
        ("drop table gold_dataset", "DROP is not allowed: only one SELECT"),
        ("select split::int from gold_dataset", "Could not convert string 't"),
        ("select * from read_csv('x')", "table function read_csv is not allowed"),
    ],
)
def test_errors_name_what_is_near(lake: Lake, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        query(lake, text)


@pytest.mark.parametrize(
    "text",
    [
        "select count(*) from range(10000000) a, range(10000000) b where a.range + b.range = 7",
        "select a.range + b.range from range(10000000) a, range(10000000) b",
        "with recursive t(n) as (select 1 union all select n + 1 from t) select max(n) from t",
    ],
)
def test_the_time_limit_stops_a_query(lake: Lake, text: str) -> None:
    start = time.monotonic()
    with pytest.raises(InputError, match=r"stopped after 0\.3 s"):
        query(lake, text, seconds=0.3, max_bytes=2**40)
    assert time.monotonic() - start < 10


def test_a_query_that_does_not_stop_when_told_is_left_behind(lake: Lake) -> None:
    """One call of repeat() makes megabytes without looking up: only its process ends it."""
    code = (
        "import os, time\n"
        "from boatseg_core.lake import Lake\n"
        "from boatseg_core.lake.sql import Unstoppable, query\n"
        f"lake, start = Lake({lake.root!r}), time.monotonic()\n"
        "try:\n    query(lake, \"select max(length(repeat('x' || range, 20000000))) "
        "from range(2000)\", seconds=0.2, memory='4GB')\n"
        "except Unstoppable as error:\n    print(error, flush=True)\n"
        "print(time.monotonic() - start < 5, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "stopped after 0.2 s" in done.stdout
    assert done.stdout.endswith("True\n")


def test_the_memory_limit_stops_a_query(lake: Lake) -> None:
    with pytest.raises(InputError, match="more than its 20 MB of memory"):
        query(
            lake,
            "select count(*) from (select distinct hash(range) from range(20000000))",
            memory="20MB",
        )
    with pytest.raises(InputError, match="'lots' is not an amount of memory"):
        query(lake, "select 1", memory="lots")


def test_amounts_of_memory() -> None:
    for text, amount in [("512MB", 512_000_000), ("2 GiB", 2**31), ("1.5kB", 1500), ("7B", 7)]:
        assert sql_module._bytes(text) == amount


def test_growth_beyond_what_duckdb_counts_stops_a_query(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter([0])
    monkeypatch.setattr(sql_run, "resident", lambda: next(readings, 2**50))
    with pytest.raises(InputError, match="used too much memory"):
        query(
            lake, "select count(*) from range(10000000) a, range(10000000) b where a.range<b.range"
        )


def test_a_result_too_large_is_refused_while_it_streams(lake: Lake) -> None:
    with pytest.raises(InputError, match="larger than 1 MB: add a LIMIT"):
        query(lake, "select image from gold_dataset", max_bytes=1_000_000)
    assert query(lake, "select image from gold_dataset limit 5", max_bytes=1_000_000).height == 5


def test_odd_results_become_frames(lake: Lake) -> None:
    frame = query(
        lake,
        "select 1 as a, 2 as a, 3 as a_2, interval 1 day as i, {'x': 1} as s, [1, 2] as l, "
        "date '2024-01-02' as d, timestamptz '2024-01-02 03:04:05+00' as t, null as n, "
        "map {'k': 1} as m, 170141183460469231731687303715884105727::hugeint as h",
    )
    assert frame.columns[:3] == ["a", "a_2", "a_2_2"]
    assert frame.row(0)[:3] == (1, 2, 3)
    assert frame["t"].dtype.time_zone == "UTC"  # type: ignore[attr-defined]
    assert frame["i"].to_list() == ["1 days"]
    show(frame)


@pytest.mark.parametrize(
    "text",
    [
        "select date 'infinity' as x",
        "select date '20000-01-01' as x union all select null",
        "select timestamp '-infinity' as x",
        "select timestamptz 'infinity' as x",
        "select [date 'infinity'] as x",
        "select {'a': [timestamp 'infinity']} as x",
        "select map {'a': date '10000-01-01'} as x",
        "select [interval 3 month] as x",
        "select {'a': interval 1 day} as x",
        "select union_value(a := 1) as x",
    ],
)
def test_values_that_a_frame_cannot_hold_are_told(lake: Lake, text: str) -> None:
    told = r"the column x of the result holds .*: cast it to VARCHAR"
    with pytest.raises(InputError, match=told):
        query(lake, text)
    assert query(lake, f"select x::varchar as x from ({text})")["x"][0]


def test_the_first_and_the_last_day_are_in_the_calendar(lake: Lake) -> None:
    frame = query(
        lake,
        "select date '0001-01-01' as a, date '9999-12-31' as b, [date '9999-12-31'] as c, "
        "timestamp '9999-12-31 23:59:59.999999' as d, timestamp '0001-01-01' as e, "
        "timestamp_ns '2262-01-01' as f, null::date as g, []::date[] as h",
    )
    assert frame.rows()[0][:2] == (date(1, 1, 1), date(9999, 12, 31))
    show(frame)


def test_limits_that_are_none_are_refused(lake: Lake) -> None:
    with pytest.raises(InputError, match="memory limit is too small"):
        query(lake, "select 1", memory="0MB")
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="is not a time in seconds"):
            query(lake, "select 1", seconds=seconds)


def show(frame: pl.DataFrame, **options: int) -> str:
    console = Console(file=io.StringIO(), width=150, force_terminal=False)
    console.print(render_table(frame, **options))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_in_the_terminal(lake: Lake) -> None:
    frame = query(
        lake,
        "select image_id, image, boat_areas, 0.123456789::double as score, "
        "repeat('x', 500) as long, '[red]a' || chr(27) || '[31m' as hostile, "
        "true as yes, null as none from gold_dataset where batch_id = 'b1' "
        "order by boat_count desc, image_id limit 7",
    )
    text = show(frame, max_rows=5, width=20)
    assert "<20 kB>" in text
    assert "[100, 100, 100]" in text
    assert "0.123457" in text
    assert "x…" in text and "x" * 21 not in text
    assert "[red]a" in text and "\x1b" not in text
    assert "7 rows, the first 5 shown" in text
    assert show(frame.head(1)).rstrip().endswith("1 row")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", "<0 B>"),
        (b"x" * 999, "<999 B>"),
        (b"x" * 131_072, "<131 kB>"),
        (b"x" * 9_996_000, "<10 MB>"),
        (None, "–"),
        ([b"abc", None, 2.5], "[<3 B>, –, 2.5]"),
        (list(range(1000)), "[0, 1, 2, 3, 4, 5, …"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value, 20) == text


def test_nothing_but_the_result_is_printed(lake: Lake) -> None:
    code = (
        "from boatseg_core.lake import Lake\n"
        "from boatseg_core.lake.sql import query\n"
        "from boatseg_core.errors import InputError\n"
        f"lake = Lake({lake.root!r})\n"
        "print(query(lake, 'select count(*) from gold_dataset').item())\n"
        "try:\n    query(lake, 'select nothing from gold_dataset')\n"
        "except InputError:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1200\nrefused\n"
    assert done.stderr == ""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from boatseg_core.config import load_settings
from boatseg_core.lake import Lake

QUERY = (
    "select image_id, boat_areas, image, 'nan'::double as odd from gold_dataset "
    "where boat_count > 0 order by image_id"
)


@pytest.fixture
def gold(home: Path) -> pl.DataFrame:
    lake = Lake.from_settings(load_settings(home=home))
    frame = lake.read("gold_dataset", ["image_id", "boat_areas", "image", "boat_count"])
    return frame.filter(pl.col("boat_count") > 0).sort("image_id")


def test_tables_that_were_not_written_yet_are_empty(boatseg, home: Path, tmp_path: Path) -> None:
    drift = ("sql", "select * from drift", "--format", "csv", "--home")
    result = boatseg(*drift, home)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("batch_id,metric,statistic,") and result.stdout.count("\n") == 1
    new = boatseg(*drift, tmp_path / "new")
    assert (new.exit_code, new.stdout) == (0, result.stdout) and "nothing here yet" in new.stderr


def test_a_table(boatseg, home: Path) -> None:
    result = boatseg(
        "sql", "select split, count(*) n from gold_dataset group by all", "--home", home
    )
    assert result.exit_code == 0
    assert "split" in result.stdout and "train" in result.stdout


def test_csv_holds_lists_and_pictures(boatseg, home: Path, gold: pl.DataFrame) -> None:
    result = boatseg("sql", QUERY, "--format", "csv", "--home", home)
    csv.field_size_limit(2**24)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [json.loads(row["boat_areas"]) for row in rows] == gold["boat_areas"].to_list()
    assert [base64.b64decode(row["image"]) for row in rows] == gold["image"].to_list()


def test_json_is_json(boatseg, home: Path, gold: pl.DataFrame) -> None:
    rows = json.loads(boatseg("sql", QUERY, "--format", "json", "--home", home).stdout)
    assert [row["boat_areas"] for row in rows] == gold["boat_areas"].to_list()
    assert {row["odd"] for row in rows} == {None}
    empty = boatseg("sql", "select 1 where false", "--format", "json", "--home", home)
    assert json.loads(empty.stdout) == []


def test_the_ending_of_the_file_chooses_the_format(
    boatseg, home: Path, gold: pl.DataFrame, tmp_path: Path
) -> None:
    for name in ("x.parquet", "x.csv", "x.json", "x.txt"):
        result = boatseg("sql", QUERY, "--output", tmp_path / name, "--home", home)
        assert (result.exit_code, result.stdout) == (0, "")
        assert name in result.stderr
    assert pl.read_parquet(tmp_path / "x.parquet")["image"].to_list() == gold["image"].to_list()
    assert len(json.loads((tmp_path / "x.json").read_text())) == gold.height
    assert pl.read_csv(tmp_path / "x.csv").height == gold.height
    assert gold["image_id"][0] in (tmp_path / "x.txt").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["x.parquet", "x.csv", "x.json", "x.txt"]
    )


def test_a_version_is_pinned(boatseg, home: Path) -> None:
    def rows(*pins: str) -> int:
        query = "select count(*) n from files"
        result = boatseg("sql", query, "--format", "json", "--home", home, *pins)
        return int(json.loads(result.stdout)[0]["n"])

    assert (rows(), rows("--version", "files=0")) == (17, 0)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["selec 1"], 2, "this is not SQL"),
        (["drop table files"], 2, "not allowed"),
        (["select * from fils"], 2, "did you mean files"),
        (["select 1", "--version", "files"], 2, "such as gold_dataset=3"),
        (["select 1", "--version", "files=999"], 1, "version 999"),
        (["select 1", "--output", "/dev/null/x.csv"], 2, "cannot be written"),
        (["select 1", "--output", "x.xlsx"], 2, "x.xlsx has no ending that says a format: use one"),
        (["select 1", "--output", "noending"], 2, "noending has no ending that says a format"),
        (["select 1", "--at", "yesterday"], 2, "'yesterday' is not a time, such as"),
        (
            ["select * from files", "--at", "2001-01-01"],
            2,
            "table files did not exist yet at 2001-01-01",
        ),
        (["select split from gold_dataset", "--format", "pictures"], 2, "needs the column image"),
    ],
)
def test_mistakes_are_named(boatseg, home: Path, args: list[str], code: int, message: str) -> None:
    result = boatseg("sql", *args, "--home", home)
    assert result.exit_code == code
    assert message in result.stderr


def test_a_format_that_is_named_needs_no_ending(boatseg, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.xyz"
    result = boatseg("sql", "select 1 as a", "--format", "csv", "--output", file, "--home", home)
    assert (result.exit_code, file.read_text()) == (0, "a\n1\n")


def test_tables_as_they_were(boatseg, home: Path) -> None:
    query = "select count(*) n from files"
    for at in ("2099-01-01", "2099-01-01T12:00:00+02:00", "2099-01-01 12:00"):
        result = boatseg("sql", query, "--format", "json", "--home", home, "--at", at)
        assert json.loads(result.stdout) == [{"n": 17}]


def test_results_as_pictures(boatseg, home: Path, tmp_path: Path) -> None:
    query = "select image_id, image, mask, boat_count from gold_dataset order by image_id limit 3"
    result = boatseg("sql", query, "--format", "pictures", "--home", home)
    assert result.exit_code == 0
    assert result.stdout.strip() == (home / "reports" / "sql.html").as_uri()
    page = (home / "reports" / "sql.html").read_text()
    assert page.count('class="card"') == 3 and "boat count" in page
    other = tmp_path / "x.html"
    assert boatseg("sql", query, "--output", other, "--home", home).exit_code == 0
    assert other.read_text().count('class="card"') == 3


def test_what_was_read_is_said_beside_the_result(boatseg, home: Path) -> None:
    query = "select avg(boat_count) as mean from gold_dataset"
    result = boatseg("sql", query, "--stats", "--format", "csv", "--home", home)
    assert result.stdout.splitlines()[0] == "mean"
    assert "1 row in" in result.stderr and "bytes read:" in result.stderr
    assert "1 of 1 files left by the filters" in result.stderr
    assert "columns: boat_count" in result.stderr and "version" in result.stderr


def test_a_query_that_does_not_stop_ends_with_its_process(home: Path) -> None:
    start = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "boatseg_core.cli",
            "sql",
            "--home",
            str(home),
            "--seconds",
            "0.2",
            "--memory",
            "4GB",
            "select max(length(repeat('x' || range, 20000000))) from range(5000)",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "stopped after 0.2 s" in done.stderr and "Traceback" not in done.stderr
    assert time.monotonic() - start < 20

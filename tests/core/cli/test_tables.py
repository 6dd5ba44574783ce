from __future__ import annotations

import json
from pathlib import Path

import pytest

from boatseg_core.config import load_settings
from boatseg_core.lake import TABLES, Lake


def test_every_table_with_its_rows_and_version(boatseg, home: Path) -> None:
    lake = Lake.from_settings(load_settings(home=home))
    rows = json.loads(boatseg("tables", "--json", "--home", home).stdout)
    assert [row["name"] for row in rows] == list(TABLES)
    for row in rows:
        assert row["version"] == lake.version(row["name"])
        if row["version"] is None:
            assert row["rows"] is None
        else:
            assert row["rows"] == lake.read(row["name"]).height
            assert row["bytes"] > 0 or not row["rows"]
    raw = next(row for row in rows if row["name"] == "raw_images")
    pictures = lake.read("raw_images", ["size_bytes"])["size_bytes"].sum()
    assert pictures < raw["bytes"] < 1.2 * pictures


@pytest.mark.parametrize("columns", ["80", "160"])
def test_the_list_fits_the_terminal(
    boatseg, home: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = boatseg("tables", "--home", home).stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert any(line.startswith("gold_dataset ") for line in lines)
    assert any("a discovered image file" in line for line in lines)


@pytest.mark.parametrize("name", TABLES)
def test_describe_names_every_column(boatseg, home: Path, name: str) -> None:
    result = boatseg("describe", name, "--home", home)
    assert result.exit_code == 0
    for column in TABLES[name].columns:
        assert column.name in result.stdout
        assert column.comment in result.stdout
    found = json.loads(boatseg("describe", name, "--json", "--home", home).stdout)
    assert [c["name"] for c in found["columns"] if c["partition"]] == list(
        TABLES[name].partition_by
    )


def test_a_misspelt_table(boatseg, home: Path) -> None:
    result = boatseg("describe", "gold", "--home", home)
    assert result.exit_code == 2
    assert "did you mean gold_dataset" in result.stderr


def test_quarantine_lists_what_was_refused(boatseg, home: Path) -> None:
    lake = Lake.from_settings(load_settings(home=home))
    refused = lake.read("quarantine").sort("path")
    result = boatseg("quarantine", "list", "--home", home)
    for row in refused.iter_rows(named=True):
        assert row["path"] in result.stdout
        assert row["message"].removeprefix(f"{row['path']}: ") in result.stdout
    assert "3 files" in result.stderr
    rows = json.loads(boatseg("quarantine", "list", "--json", "--home", home).stdout)
    assert [row["path"] for row in rows] == refused["path"].to_list()
    one = json.loads(
        boatseg("quarantine", "list", "--json", "--reason", "empty", "--home", home).stdout
    )
    assert [row["size_bytes"] for row in one] == [0]

"""Refused files on the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import Result
from support.pictures import drop, encoded, texture

from boatseg_core.lake import Lake

PICTURES = {
    "good.jpg": encoded(texture(1)),
    "big.png": encoded(texture(2, 600, 600), "PNG"),
    "empty.jpg": b"",
    "\x1b[31mred.jpg": b"no picture",
}


@pytest.fixture
def home(boatseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose bound was too small for one picture; it is the environment's."""
    images = tmp_path / "home" / "landing" / "images"
    for name, data in PICTURES.items():
        drop(images, name, data)
    drop(images.parent, "labels.csv", b"ImageId,EncodedPixels\nbig.png,\ngood.jpg,\n")
    with monkeypatch.context() as patch:
        patch.setenv("BOATSEG_DECODE__MAX_PIXELS", "100000")
        ok(boatseg("ingest"))
    return tmp_path / "home"


def ok(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def test_lists_for_people_and_for_programs(boatseg, home: Path) -> None:
    text = ok(boatseg("quarantine", "list")).stdout
    assert "big.png" in text and "360,000" not in text and "too_many_pixels" in text
    assert "\x1b" not in text and "red.jpg" in text
    rows = json.loads(ok(boatseg("quarantine", "list", "--json")).stdout)
    table = list(csv.DictReader(io.StringIO(ok(boatseg("quarantine", "list", "--csv")).stdout)))
    assert [row["path"] for row in table] == [row["path"] for row in rows]
    by_path = {row["path"]: row for row in rows}
    assert bytes.fromhex(by_path["big.png"]["head"]) == PICTURES["big.png"][:64]
    assert set(rows[0]) >= {"path", "reason", "message", "sha256", "head"}
    one = json.loads(ok(boatseg("quarantine", "list", "--json", "--path", "b*")).stdout)
    assert [row["path"] for row in one] == ["big.png"]


def test_a_raised_bound_brings_a_file_to_gold(boatseg, home: Path) -> None:
    again = ok(boatseg("quarantine", "retry", "--reason", "too_many_pixels"))

    assert "big.png" in again.stdout and "taken" in again.stdout
    assert "1 file: 1 taken" in again.stderr
    query = "SELECT image_id FROM gold_dataset ORDER BY image_id"
    rows = json.loads(ok(boatseg("sql", query, "--format", "json")).stdout)
    assert [row["image_id"] for row in rows] == ["big.png", "good.jpg"]
    lake = Lake(str(home / "lake"))
    before = lake.version("gold_dataset")
    rest = json.loads(ok(boatseg("quarantine", "retry", "--json")).stdout)
    assert lake.version("gold_dataset") == before  # nothing was let in: gold is what it was
    assert {row["path"]: row["reason"] for row in rest} == {
        "empty.jpg": "empty",
        "\x1b[31mred.jpg": "not_an_image",
    }


def test_a_broken_batch_stops_no_other_one(
    boatseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOATSEG_SEAL__MAX_FILES", "3")
    monkeypatch.setenv("BOATSEG_HISTORY__MIN_IMAGES", "2")
    images = tmp_path / "home" / "landing" / "images"
    for name in ("a-bad.jpg", "a-worse.jpg"):
        drop(images, name, b"no picture")
    for name in ("a-big.png", "b-big.png"):
        drop(images, name, encoded(texture(ord(name[0]), 600, 600), "PNG"))
    drop(images.parent, "labels.csv", b"ImageId,EncodedPixels\na-big.png,\nb-big.png,\n")
    with monkeypatch.context() as patch:
        patch.setenv("BOATSEG_DECODE__MAX_PIXELS", "100000")
        boatseg("ingest")

    again = boatseg("quarantine", "retry", "--reason", "too_many_pixels", "--json")

    assert again.exit_code == 1 and "is broken and was not joined to gold" in again.stderr
    assert [row["reason"] for row in json.loads(again.stdout)] == [None, None]
    gold = Lake(str(tmp_path / "home" / "lake")).read("gold_dataset")
    assert gold["image_id"].to_list() == ["b-big.png"]


def test_an_export_is_made_once(boatseg, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "for the camera's maker"

    first = ok(boatseg("quarantine", "export", folder))

    assert "3 files" in first.stdout
    names = {file.name for file in folder.iterdir()}
    assert {"manifest.csv", "manifest.json"} <= names and len(names) == 5
    again = boatseg("quarantine", "export", folder)
    assert again.exit_code != 0 and "exists already" in again.stderr
    none = boatseg("quarantine", "export", tmp_path / "x", "--reason", "gone_fishing")
    assert none.exit_code != 0 and "nothing to export" in none.stderr
    assert not (tmp_path / "x").exists()

from __future__ import annotations

import csv
from pathlib import Path


def test_synth_writes_what_it_says(boatseg, tmp_path: Path) -> None:
    result = boatseg("data", "synth", "--count", 6, "--seed", 2, "--output", tmp_path, "--faults")
    assert result.exit_code == 0
    sheet = tmp_path / "train_ship_segmentations_v2.csv"
    rows = list(csv.DictReader(sheet.open()))
    assert "wrote 6 images" in result.stdout
    assert "1 truncated" in result.stdout
    assert len(list((tmp_path / "images").iterdir())) == 6 + 5
    assert rows


def test_unlabelled_scenes_have_no_csv(boatseg, tmp_path: Path) -> None:
    result = boatseg("data", "synth", "--count", 2, "--output", tmp_path, "--unlabelled")
    assert "no labels" in result.stdout
    assert not list(tmp_path.glob("*.csv"))


def test_bad_arguments_are_named(boatseg, tmp_path: Path) -> None:
    result = boatseg("data", "synth", "--count", 0, "--output", tmp_path)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: count is 0, but at least 1 image must be asked for.\n",
    )
    assert boatseg("data", "synth", "--empty-share", 2, "--output", tmp_path).exit_code == 2

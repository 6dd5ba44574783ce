from __future__ import annotations

import json
from pathlib import Path

from conftest import Run

from boatseg_core.synth import DatasetSummary


def test_labels_out_and_in_again(
    made: tuple[Path, DatasetSummary], boatseg: Run, tmp_path: Path
) -> None:
    home, _ = made
    given = (next((home / "landing").glob("*.csv"))).read_text()
    result = boatseg("labels", "export", "--format", "csv", "--home", home)
    assert result.exit_code == 0, result.output
    assert result.stdout == given
    out = tmp_path / "out"
    for format_name, target in (("coco", tmp_path / "x.json"), ("png", out)):
        result = boatseg("labels", "export", "--format", format_name, "-o", target, "--home", home)
        assert result.exit_code == 0, result.output
        assert result.stdout == ""
    content = json.loads((tmp_path / "x.json").read_text())
    names = {Path(image["file_name"]).stem for image in content["images"]}
    stems = {path.name.split(".")[0] for path in out.rglob("*.png")}
    assert stems
    assert stems <= names  # an image none of whose rows can be drawn gets no picture
    train = boatseg("labels", "export", "--format", "csv", "--split", "train", "--home", home)
    assert 1 < len(train.stdout.splitlines()) < len(given.splitlines())


def test_mistakes_are_sentences(home: Path, boatseg: Run, tmp_path: Path) -> None:
    for arguments, words in (
        (["--format", "png"], "name it with --output"),
        (["--format", "csv", "--split", "nope"], "no labelled image in the split 'nope'"),
        (["--format", "csv", "-o", tmp_path / "no/folder.csv"], "cannot be written"),
    ):
        result = boatseg("labels", "export", *arguments, "--home", home)
        assert result.exit_code == 2 or result.exit_code == 1
        assert words in result.stderr
        assert "Traceback" not in result.output
    result = boatseg("labels", "export", "--format", "csv", "--home", tmp_path / "empty")
    assert "there are no labels" in result.stderr


def test_files_and_issues_are_listed(
    made: tuple[Path, DatasetSummary], boatseg: Run, tmp_path: Path
) -> None:
    home, _ = made
    files = json.loads(boatseg("labels", "list", "--json", "--home", home).stdout)
    assert [(row["label_version"], row["kind"], row["files"]) for row in files] == [(1, "csv", 1)]
    assert files[0]["path"] in boatseg("labels", "list", "--home", home).stdout
    issues = json.loads(boatseg("labels", "issues", "--json", "--home", home).stdout)
    assert issues
    reason = issues[0]["reason"]
    shown = boatseg("labels", "issues", "--reason", reason, "--home", home)
    assert issues[0]["message"] in shown.stdout
    assert f"{sum(row['reason'] == reason for row in issues)} {reason}" in shown.stderr
    some = boatseg("labels", "issues", "--file", "none.csv", "--home", home)
    assert "no label row has an issue" in some.stderr
    empty = boatseg("labels", "list", "--home", tmp_path / "empty")
    assert "no label file was read yet" in empty.stderr

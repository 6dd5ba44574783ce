from __future__ import annotations

import json
from pathlib import Path

import pytest

from boatseg_core.config import Settings
from boatseg_core.config.settings import provenance


def by_name(text: str) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads(text)}


def test_every_setting_is_there_with_its_origin(
    boatseg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BOATSEG_TRAIN__MAX_STEPS", "7")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "boatseg.toml").write_text("[seal]\nmax_files = 9\n")
    rows = by_name(boatseg("config", "--json").stdout)
    assert rows.keys() == {row[0] for row in provenance(Settings())}
    assert rows["train.max_steps"]["value"] == 7
    assert rows["train.max_steps"]["unit"] == "steps"
    assert rows["train.max_steps"]["source"] == "environment BOATSEG_TRAIN__MAX_STEPS"
    assert rows["seal.max_files"]["source"] == str(tmp_path / "home" / "boatseg.toml")
    assert rows["train.seed"]["source"] == "default"
    assert all(row["sentence"] for row in rows.values())


def test_the_home_of_the_command_line_is_named_as_such(boatseg, tmp_path: Path) -> None:
    rows = by_name(boatseg("config", "--json", "--home", tmp_path / "other").stdout)
    assert (rows["home"]["value"], rows["home"]["source"]) == (str(tmp_path / "other"), "--home")


def test_secrets_are_hidden(boatseg, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"aws_secret_access_key": "hush", "AWS_SESSION_TOKEN": "hush", "aws_region": "eu-1"}
    monkeypatch.setenv("BOATSEG_STORAGE_OPTIONS", json.dumps(options))
    monkeypatch.setenv("BOATSEG_REGISTRY__TRACKING_URI", "https://me:hush@host/mlflow")
    for args in (["config"], ["config", "--json"]):
        result = boatseg(*args)
        assert "hush" not in result.output
        assert "eu-1" in result.stdout
        assert "https://***@host/mlflow" in result.stdout


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_it_fits_the_terminal(boatseg, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = boatseg("config").stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert any("train.max_steps" in line and "1500" in line for line in lines)


def test_settings_that_are_not_valid_still_get_the_list_of_names(
    boatseg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOATSEG_TRAIN__MAX_STEP", "7")
    result = boatseg("config")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: settings are not valid: train.max_step")
    assert "train.max_steps" in result.stdout

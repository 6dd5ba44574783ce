from __future__ import annotations

import json
from pathlib import Path

import pytest
from fresh_process import modules_after
from tiny_model import write_model

from boatseg_core.config import load_settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.lake import Lake


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "bright", cut=0.7)
    return tmp_path / "bright"


def split_of(home: Path) -> tuple[str, int]:
    """A split that has images, and how many."""
    lake = Lake.from_settings(load_settings(home=home))
    counts = GoldDataset(lake).index()["split"].value_counts(sort=True)
    return counts["split"][0], counts["count"][0]


def test_numbers_with_floor_and_a_report(boatseg, home: Path, model: Path, tmp_path: Path) -> None:
    split, images = split_of(home)
    out = tmp_path / "report"
    args = ("evaluate", model, "--split", split, "--draws", 50, "--output", out, "--home", home)
    result = boatseg(*args)
    assert result.exit_code == 0, result.output
    assert f"bright on the {split} split of gold version" in result.stdout
    assert f"{images:,} images" in result.stdout
    assert "predicting nothing" in result.stdout and "95% interval" in result.stdout
    assert str(out / "evaluation.html") in result.stdout.replace("\n", "")
    assert (out / "evaluation.html").stat().st_size > 10_000

    facts = json.loads(boatseg(*args, "--json").stdout)
    assert facts["data"]["images"] == images and facts["model"]["architecture"] == "tiny"
    assert facts["headlines"] == json.loads((out / "evaluation.json").read_text())["headlines"]


def test_sentences_instead_of_tracebacks(boatseg, home: Path, model: Path, tmp_path: Path) -> None:
    def fails(*args: object) -> str:
        result = boatseg("evaluate", *args)
        assert result.exit_code in (1, 2) and not result.stdout
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
        return result.stderr

    assert "excluded split of gold version" in fails(model, "--split", "excluded", "--home", home)
    assert "is not a boatseg model folder" in fails("./nowhere", "--home", home)
    assert "nothing here yet" in fails(model, "--home", tmp_path / "new")
    assert "999" in fails(model, "--gold-version", 999, "--home", home)
    assert "error" in fails("production", "--home", home)  # nothing was ever registered


def test_a_registered_version_is_found(boatseg, home: Path, model_home: Path) -> None:
    text = boatseg("evaluate", "1", "--home", model_home).stderr
    assert "nothing here yet" in text  # the model was found, the lake is empty


def test_neither_torch_nor_mlflow_is_loaded(home: Path, model: Path, tmp_path: Path) -> None:
    split, _ = split_of(home)
    code, modules = modules_after(
        "evaluate", str(model), "--split", split, "--home", str(home), "--output", str(tmp_path)
    )
    assert (code, modules) == (0, ["polars"])

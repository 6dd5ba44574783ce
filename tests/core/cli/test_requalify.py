"""``boatseg requalify``: what it says is what it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from support.pictures import drop, encoded, texture


@pytest.fixture
def home(boatseg, tmp_path: Path) -> Path:
    images = tmp_path / "home" / "landing" / "images"
    names = [f"{i}.jpg" for i in range(3)]
    for i, name in enumerate(names):
        drop(images, name, encoded(texture(i) // (1 if i else 8)))  # the first is dark
    drop(
        images.parent,
        "labels.csv",
        "\n".join(["ImageId,EncodedPixels", *(f"{n}," for n in names)]).encode(),
    )
    ok(boatseg("ingest"))
    return tmp_path / "home"


def ok(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def gold(boatseg) -> int:
    query = "SELECT count(*) AS n FROM gold_dataset"
    return int(json.loads(ok(boatseg("sql", query, "--format", "json")).stdout)[0]["n"])


def test_a_criterion_is_changed_and_changed_back(
    boatseg, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nothing to do" in ok(boatseg("requalify")).stderr
    monkeypatch.setenv("BOATSEG_QUALITY__MIN_BRIGHTNESS", "60")

    dry = ok(boatseg("requalify", "--dry-run"))
    assert "0.jpg fails: too_dark" in dry.stdout and "nothing was written" in dry.stderr
    assert gold(boatseg) == 3

    wet = ok(boatseg("requalify"))
    assert "+1 too_dark" in wet.stdout
    assert "judged 3 images in 1 batch: 1 pass or fail now that did not before" in wet.stderr
    assert "3 rows before, 2 now" in wet.stderr
    assert gold(boatseg) == 2
    assert "nothing to do" in ok(boatseg("requalify")).stderr

    monkeypatch.delenv("BOATSEG_QUALITY__MIN_BRIGHTNESS")
    back = json.loads(ok(boatseg("requalify", "--json")).stdout)
    (batch,) = back["batches"]
    assert (batch["passed_before"], batch["passed"]) == (2, 3)
    assert batch["changes"][0]["reasons_before"] == ["too_dark"]
    assert list(back["gold"].values()) == [{"before": 2, "after": 3}]


def test_all_batches_and_named_ones(boatseg, home: Path) -> None:
    every = ok(boatseg("requalify", "--all"))
    assert "gold holds what passes: it was left alone" in every.stderr
    wrong = boatseg("requalify", "--batch", "20000101-000001")
    assert wrong.exit_code != 0 and "20000101-000001 is not in raw_images" in wrong.stderr
    both = boatseg("requalify", "--all", "--batch", "x")
    assert both.exit_code != 0 and "exclude each other" in both.stderr

"""The user's own files, end to end: real images and masks, where the machine has them."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from boatseg_core.config import load_settings
from boatseg_core.lake import Lake
from boatseg_dagster.own import run_own

SAMPLE = os.environ.get("BOATSEG_REAL_SAMPLE")

pytestmark = pytest.mark.skipif(
    not SAMPLE, reason="BOATSEG_REAL_SAMPLE is not set: the real images are not on this machine"
)

QUICK = """\
[train]
crop = 128
max_steps = 40
validations = 1
[tune]
trials = 1
steps = 2
"""


def independently_counted(masks: Path) -> dict[str, tuple[int, int]]:
    """Objects and covered pixels by image, one pixel at a time."""
    covered: dict[str, set[int]] = {}
    counts: dict[str, int] = {}
    with masks.open(newline="") as file:
        for row in csv.DictReader(file):
            name, cell = row["ImageId"], row["EncodedPixels"]
            pixels, numbers = covered.setdefault(name, set()), [int(n) for n in cell.split()]
            counts[name] = counts.get(name, 0) + bool(numbers)
            for start, length in zip(numbers[::2], numbers[1::2], strict=True):
                pixels.update(range(start, start + length))
    return {name: (counts[name], len(pixels)) for name, pixels in covered.items()}


def test_a_run_on_the_real_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert SAMPLE is not None
    sample = Path(SAMPLE)
    home = tmp_path / "home"
    home.mkdir()
    (home / "boatseg.toml").write_text(
        f'[landing]\nimages = "{sample}"\nlabels = "{sample / "masks.csv"}"\n{QUICK}'
    )
    monkeypatch.setenv("DAGSTER_HOME", "")  # set by the run; restored after the test
    monkeypatch.setenv("BOATSEG_HOME", str(home))

    run_own(load_settings(home=home), sample, sample / "masks.csv")

    lake = Lake(str(home / "lake"))
    assert lake.read("raw_images").height == 14 + 32
    assert lake.read("quarantine").is_empty()
    masks = lake.read("rasterized_masks", ["image_id", "boat_count", "boat_area"])
    found = {row[0].rpartition("/")[2]: row[1:] for row in masks.iter_rows()}
    assert found == independently_counted(sample / "masks.csv")
    assert lake.read("gold_dataset").height == 14
    assert lake.read("promotions")["model_version"].to_list() == [1]
    assert lake.read("predictions").height == 14 + 32
    assert np.isin(lake.read("image_groups")["split"], ["train", "valid", "test"]).all()
    printed = capsys.readouterr().out
    assert "predictions.html" in printed
    assert (home / "reports" / "predictions.html").stat().st_size > 500_000

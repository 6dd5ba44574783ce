"""What a training shows of itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))

from tiny_model import write_model

from boatseg_core.dataset import reader
from boatseg_core.training import run as module
from boatseg_core.training.result import TrainResult
from boatseg_core.training.tracking import TrackedRun


class Files:
    """As much of a tracked run as takes files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def log_file(self, name: str, data: bytes) -> None:
        self.files[name] = data


def test_the_examples_are_all_that_is_decoded_and_show_objects_first(
    write_gold: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold = write_gold(train=(1, 0), test=(3, 12))
    write_model(tmp_path / "model", min_area=1)
    result = TrainResult(tmp_path / "model", [], {}, {}, gold.version, 1.0, 1)
    write_gold(test=(0, 1))  # a newer version, which is not the one that was tested on
    decoded: list[bytes] = []
    original = reader.decode

    def counting(data: bytes) -> np.ndarray:
        decoded.append(data)
        return original(data)

    monkeypatch.setattr(reader, "decode", counting)
    monkeypatch.setattr(module, "decode", counting)
    shown: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
    sheet = module.comparison_sheet

    def looking(rows: Any) -> tuple[str, bytes]:
        shown.extend(rows)
        return sheet(rows)

    monkeypatch.setattr(module, "comparison_sheet", looking)
    files = Files()

    text = module._examples(gold, result, cast(TrackedRun, files))

    assert len(decoded) == 8
    assert [truth.any() for *_, truth, _ in shown] == [True] * 3 + [False] * 5
    index = gold.index("test").sort("boat_count", "image_id", descending=[True, False])
    assert [name for name, *_ in shown] == index["image_id"].head(8).to_list()
    for _, image, truth, found in shown[:3]:
        assert image.shape == (*truth.shape, 3)
        assert (truth & found).sum() > 0.9 * truth.sum()
    assert "data:image/" in text
    assert files.files["pictures/test_predictions.jpg"][:2] == b"\xff\xd8"

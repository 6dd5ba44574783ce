from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch  # noqa: TID253

from boatseg_core.errors import TrainingError
from boatseg_core.training.checkpoint import failure_of_disk, write_whole
from boatseg_core.training.export import to_onnx

FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


@full
@pytest.mark.parametrize("numbers", [10, 100_000])
def test_a_full_disk_leaves_the_checkpoint_before_and_says_so(tmp_path: Path, numbers) -> None:
    path = tmp_path / "best.pt"
    write_whole({"weights": torch.ones(3)}, path)
    path.with_suffix(f".{os.getpid()}.part").symlink_to(FULL)
    with pytest.raises(TrainingError, match=r"best\.pt cannot be written \(No space left on dev"):
        write_whole({"weights": torch.ones(numbers)}, path)
    assert [file.name for file in tmp_path.iterdir()] == ["best.pt"]
    assert len(torch.load(path, weights_only=True)["weights"]) == 3


@full
def test_a_full_disk_is_not_blamed_on_the_architecture(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").symlink_to(FULL)
    with pytest.raises(TrainingError, match=r"model\.onnx cannot be written \(No space left"):
        to_onnx(torch.nn.Conv2d(3, 1, 1), tmp_path / "model.onnx")


def test_what_is_no_matter_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        write_whole(lambda: None, tmp_path / "best.pt")
    assert not list(tmp_path.iterdir())
    assert failure_of_disk(ValueError()) is None

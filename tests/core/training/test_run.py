"""What a training shows of itself, and where it works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from boatseg_core.training.evaluate import Evaluation
from boatseg_core.training.gather import Example
from boatseg_core.training.run import examples_sheet
from boatseg_core.training.workplace import claim


def example(name: str) -> Example:
    return Example(name, "IoU 0.50", np.zeros((40, 60, 3), np.uint8))


def test_the_worst_come_first_and_the_best_are_not_left_out(monkeypatch) -> None:
    shown: list[str] = []

    def sheet(pictures, *, columns, captions):
        shown.extend(captions)
        assert len(pictures) == len(captions)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr("boatseg_core.training.run.contact_sheet", sheet)
    kinds = {
        "worst": [example(f"w{i}") for i in range(8)],
        "false alarms": [],
        "best": [example("b")],
    }
    assert "data:image/" in examples_sheet(Evaluation({}, kinds))
    assert shown == ["worst: IoU 0.50"] * 4 + ["best: IoU 0.50"]
    assert examples_sheet(Evaluation({})) == examples_sheet(None) == ""


def test_the_same_training_has_the_same_folder_and_never_two_at_once(tmp_path: Path) -> None:
    with claim(tmp_path / "train", "abc", "run-1") as first:
        with claim(tmp_path / "train", "abc", "run-2") as second:
            assert (first.folder.name, first.resume) == ("abc", True)
            assert (second.folder.name, second.resume) == ("run-2", False)
        with claim(tmp_path / "train", "other", "run-3") as third:
            assert third.folder.name == "other"
    with claim(tmp_path / "train", "abc", "run-4") as again:
        assert again == first


def test_a_killed_training_gives_its_folder_back(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from boatseg_core.training.workplace import claim\n"
        f"with claim(Path({str(tmp_path)!r}), 'abc', 'x') as place:\n"
        "    place.folder.mkdir()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", script], cwd=root).returncode == -9
    with claim(tmp_path, "abc", "y") as place:
        assert place.resume and place.folder.is_dir()

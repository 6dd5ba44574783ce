from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
sys.path.insert(0, str(Path(__file__).parent))

from tiny_model import encoded, scene, write_model

from boatseg_core.cli.root import root
from boatseg_core.config import load_settings
from boatseg_core.registry.register import register
from boatseg_core.synth import DatasetSummary, write_dataset

Run: TypeAlias = Callable[..., Result]

GOOD = {"boat_iou": 0.6, "per_image_iou": 0.9, "floor_per_image_iou": 0.78}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOATSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BOATSEG_LANDING__SETTLE_SECONDS", "0")
    monkeypatch.delenv("COLUMNS", raising=False)


def invoke(*args: object) -> Result:
    return CliRunner().invoke(root, [str(arg) for arg in args], prog_name="boatseg")


@pytest.fixture
def boatseg() -> Run:
    """Run a command line in this process."""
    return invoke


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DatasetSummary]:
    """A home whose landing folder holds scenes and faults, ingested once; for reading only."""
    home = tmp_path_factory.mktemp("cli-home")
    summary = write_dataset(home / "landing", count=12, seed=5, empty_share=0.4, faults=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOATSEG_LANDING__SETTLE_SECONDS", "0")
        result = invoke("ingest", "--home", home)
    assert result.exit_code == 0, result.output
    (home / "ingest.txt").write_text(result.stdout)
    return home, summary


@pytest.fixture
def home(made: tuple[Path, DatasetSummary]) -> Path:
    return made[0]


@pytest.fixture(scope="session")
def model_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two registered versions that call bright pixels boats; none is promoted."""
    home = tmp_path_factory.mktemp("cli-model-home")
    settings = load_settings(home=home)
    settings.paths.create()
    for number, iou in enumerate((0.6, 0.3)):
        folder = tmp_path_factory.mktemp(f"model-{number}")
        write_model(folder, metrics=GOOD | {"boat_iou": iou})
        register(folder, settings)
    return home


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Two white boats on a dark sea, as a PNG."""
    path = tmp_path / "two boats.png"
    path.write_bytes(encoded(scene(100, 80, ((10, 20, 12, 6), (60, 40, 5, 5)))))
    return path

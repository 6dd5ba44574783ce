from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))

from tiny_model import write_model

from boatseg_core.config import Settings, load_settings
from boatseg_core.lake import Lake
from boatseg_core.registry.register import RegisteredModel, register

GOOD = {"boat_iou": 0.6, "per_image_iou": 0.9, "floor_per_image_iou": 0.78}


@pytest.fixture(scope="session")
def registry_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests, since MLflow takes seconds to create its tables."""
    return tmp_path_factory.mktemp("registry-home")


@pytest.fixture
def settings(registry_home: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings with a model name of the test's own."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    settings = load_settings(home=registry_home, registry={"model_name": name[:100]})
    settings.paths.create()
    return settings


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def add(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., RegisteredModel]]:
    """Register a tiny model; keyword arguments are metrics or fields of its description."""
    count = 0

    def add(settings: Settings = settings, **fields: Any) -> RegisteredModel:
        nonlocal count
        count += 1
        metrics = GOOD | {key: fields.pop(key) for key in list(fields) if key in GOOD}
        folder = tmp_path / f"model-{count}"
        write_model(folder, metrics=metrics, **fields)
        return register(folder, settings)

    yield add

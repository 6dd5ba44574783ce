from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage

from boatseg_core.config import Settings, load_settings
from boatseg_core.lake import Lake
from boatseg_dagster.resources import Boatseg

SMALL = (Path(__file__).parent / "small.toml").read_text()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "boatseg.toml").write_text(SMALL)
    return tmp_path / "home"


@pytest.fixture
def settings(home: Path) -> Settings:
    settings = load_settings(home=home)
    settings.paths.create()
    return settings


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.from_settings(settings)


@pytest.fixture
def boatseg(home: Path) -> Boatseg:
    return Boatseg(home=str(home))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    # An instance that is entered twice (a sensor's context enters it again) leaves itself behind as
    # the current one, and whoever loads definitions after it was collected fails.
    with (
        set_defs_state_storage(None),
        dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance,
    ):
        yield instance

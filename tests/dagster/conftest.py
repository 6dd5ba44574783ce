from __future__ import annotations

import gc
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
    # A sensor's or schedule's context enters the instance again. Where it is left to the garbage
    # collector, it makes this instance the current one when it goes: long after the instance
    # itself, and whoever loads definitions then fails. So they have to go first.
    with (
        set_defs_state_storage(None),
        dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance,
    ):
        yield instance
        gc.collect()

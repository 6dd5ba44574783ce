from __future__ import annotations

from pathlib import Path

import pytest

from boatseg_core.config import Settings, load_settings
from boatseg_core.lake import Lake


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(home=tmp_path / "home", landing={"settle_seconds": 0})
    settings.paths.create()
    (settings.images_folder).mkdir(parents=True)
    return settings


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.from_settings(settings)

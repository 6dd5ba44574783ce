from __future__ import annotations

from pathlib import Path

import pytest

from boatseg_core.config import Settings
from boatseg_core.lake import Lake


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    (home / "landing").mkdir(parents=True)
    return Settings(home=home, landing={"settle_seconds": 0})  # type: ignore[arg-type]


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.from_settings(settings)

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))

from service_kit import Live, Registry, running, settings_at

from boatseg_core.config import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "home")


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings)


@pytest.fixture
def live(settings: Settings, registry: Registry) -> Iterator[Live]:
    """A service with version 1 in production."""
    registry.add(1)
    registry.promote(1)
    with running(settings) as live:
        live.until(lambda state: state["ready"])
        yield live


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The same for tests that leave no trace."""
    settings = settings_at(tmp_path_factory.mktemp("shared"))
    registry = Registry(settings)
    registry.add(1)
    registry.promote(1)
    with running(settings) as live:
        live.until(lambda state: state["ready"])
        yield live

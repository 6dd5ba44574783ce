from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from boatseg_core.config import Settings, load_settings
from boatseg_core.registry.pins import gold_versions
from boatseg_core.registry.register import RegisteredModel


def test_nothing_registered_pins_nothing_and_makes_no_registry(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    assert gold_versions(settings) == set()
    assert not settings.paths.mlflow_db.exists()


def test_every_version_of_every_model_pins_its_gold(
    settings: Settings, add: Callable[..., RegisteredModel]
) -> None:
    add(gold_version=4711)
    add(gold_version=4713)
    add(gold_version=None)
    other = settings.model_copy(
        update={"registry": settings.registry.model_copy(update={"model_name": "another-model"})}
    )
    add(other, gold_version=4712)
    assert {4711, 4712, 4713} <= gold_versions(settings)

"""Presets: whole recipes that no setting of a home changes."""

from __future__ import annotations

import pytest

from boatseg_core.config import load_settings
from boatseg_core.config.sections import Train
from boatseg_core.errors import InputError
from boatseg_core.training.plan import resolve
from boatseg_core.training.presets import (
    PRESETS,
    Preset,
    Scenes,
    find_preset,
    preset_settings,
)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_is_a_training_that_can_be_run(preset: Preset, tmp_path) -> None:
    settings = preset_settings(preset, load_settings(home=tmp_path))
    chosen = resolve(settings, {})
    assert {name: getattr(chosen, name) for name in preset.train} == dict(preset.train)
    assert preset.purpose.endswith(".") and len({one.name for one in PRESETS}) == len(PRESETS)


def test_a_recipe_is_the_same_in_every_home_but_for_what_belongs_to_the_machine(
    monkeypatch, tmp_path
) -> None:
    preset = Preset("one", "To test.", {"crop": 64})
    plain = preset_settings(preset, load_settings(home=tmp_path))
    monkeypatch.setenv("BOATSEG_TRAIN__ENCODER", "resnet18")
    monkeypatch.setenv("BOATSEG_TRAIN__THREADS", "3")
    monkeypatch.setenv("BOATSEG_PREDICT__MIN_AREA", "500")
    other = preset_settings(preset, load_settings(home=tmp_path))
    assert other.train == plain.train.model_copy(update={"threads": 3})
    assert other.train.encoder == Train().encoder and other.train.crop == 64
    # Nobody has set it, so the training chooses it.
    assert "min_area" not in other.predict.model_fields_set
    assert other.registry.model_name == plain.registry.model_name


def test_a_model_of_scenes_has_a_name_of_its_own(tmp_path) -> None:
    settings = load_settings(home=tmp_path)
    preset = Preset("two", "To test.", {}, Scenes(1, 2, 0.5))
    name = preset_settings(preset, settings).registry.model_name
    assert name == f"{settings.registry.model_name}-two"


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean real-transfer"):
        find_preset("real_transfer", PRESETS)
    assert find_preset("quick", PRESETS).name == "quick"

"""Presets: whole recipes for ``boatseg train``, one a module, found by name.

A preset is fixed: what it does not name has its default, whatever the settings say, so that it
gives the same model in every home. Importing this module is cheap.
"""

from __future__ import annotations

from boatseg_core.training.presets.quick import QUICK
from boatseg_core.training.presets.real_transfer import REAL_TRANSFER
from boatseg_core.training.presets.recipe import Preset, Scenes, find_preset, preset_settings

__all__ = ["PRESETS", "Preset", "Scenes", "find_preset", "preset_settings"]

PRESETS: tuple[Preset, ...] = (QUICK, REAL_TRANSFER)
"""All presets."""

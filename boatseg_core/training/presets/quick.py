"""A model in a few minutes, to see everything work."""

from __future__ import annotations

from boatseg_core.training.presets.recipe import Preset

QUICK = Preset(
    "quick",
    "A usable model of the home's gold in a few minutes on two cores.",
    {"crop": 128, "batch_size": 16, "max_steps": 250, "validations": 3, "valid_images": 64},
)
"""Small crops: the same number of pixels a step shows more places."""

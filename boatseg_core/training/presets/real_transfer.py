"""From generated scenes to real pictures, which are never learnt from."""

from __future__ import annotations

from boatseg_core.training.presets.recipe import Preset, Scenes

REAL_TRANSFER = Preset(
    "real-transfer",
    "A model of generated scenes alone, to be used on real pictures.",
    {
        "crop": 192,
        "batch_size": 8,
        "max_steps": 1000,
        "validations": 4,
        "valid_images": 100,
        "augment": "strong",
        "ema_decay": 0.99,
    },
    Scenes(count=1000, seed=4242, empty_share=0.5),
)

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
        # Two looks at all validation images: threshold and sieve are chosen on them, too.
        "validations": 2,
        "valid_images": 0,
        # Land and fish farms are rare: more crops are cut anywhere than by default.
        "positive_share": 0.6,
        "augment": "strong",
        "ema_decay": 0.99,
        # Other waters than these scenes': of equals, the point with the fewest false alarms.
        "cautious": True,
    },
    Scenes(count=1500, seed=4242, empty_share=0.5),
)

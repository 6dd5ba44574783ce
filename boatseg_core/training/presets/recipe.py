"""What a preset is, and the settings it makes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boatseg_core.config import Settings
from boatseg_core.config.sections import Predict, Train
from boatseg_core.errors import InputError

# What belongs to the machine and not to the recipe.
_MACHINE = ("threads", "precision", "compile", "device", "checkpoint_steps")


@dataclass(frozen=True)
class Scenes:
    """Generated scenes to learn from; see :func:`boatseg_core.synth.write_dataset`.

    Attributes:
        count: Pictures.
        seed: Seed of the generator.
        empty_share: Share of pictures without boats.
    """

    count: int
    seed: int
    empty_share: float


@dataclass(frozen=True)
class Preset:
    """A recipe.

    Attributes:
        name: What it is called on the command line.
        purpose: What it is for, in a sentence.
        train: Fields of ``settings.train`` that are not the defaults.
        scenes: Generated scenes it learns from; None for gold of the home.
    """

    name: str
    purpose: str
    train: Mapping[str, Any]
    scenes: Scenes | None = None


def find_preset(name: str, presets: Sequence[Preset]) -> Preset:
    """Find a preset by its name.

    Raises:
        InputError: There is none of that name; the message lists them, the nearest first.
    """
    by_name = {preset.name: preset for preset in presets}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(f"there is no preset {name!r}: {hint}there are {', '.join(by_name)}")


def preset_settings(preset: Preset, settings: Settings) -> Settings:
    """Settings to run a preset with.

    The network, its training and how it predicts are the preset's. A model of scenes alone is
    registered under a name of its own, ``<model_name>-<preset>``: its metrics are those of scenes,
    and the gate must not compare them with a model that was measured on the home's images.

    Args:
        preset: The recipe.
        settings: Name the home, the registry and what the machine is given.
    """
    machine = {n: v for n, v in settings.train.model_dump().items() if n in _MACHINE}
    changed: dict[str, Any] = {
        "train": Train(**{**machine, **preset.train}),
        "predict": Predict(batch_size=settings.predict.batch_size),
    }
    if preset.scenes is not None:
        name = f"{settings.registry.model_name}-{preset.name}"
        changed["registry"] = settings.registry.model_copy(update={"model_name": name})
    return settings.model_copy(update=changed)

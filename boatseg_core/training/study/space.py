"""What a study searches, and where it begins."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from boatseg_core.config.sections import Train
from boatseg_core.errors import TrainingError
from boatseg_core.training.fit import resolve

if TYPE_CHECKING:
    import optuna

    from boatseg_core.config import Settings

# How long and where a study runs: it is the same question all the same.
_CIRCUMSTANCES = {
    "trials",
    "max_seconds",
    "grace_seconds",
    "workers",
    "storage",
    "study",
    "stale_seconds",
}


def trial_settings(settings: Settings) -> Train:
    """``settings.train`` as far as it is the same for every trial.

    Raises:
        TrainingError: The space cannot be searched.
    """
    space = settings.tune
    for name in ("learning_rate", "positive_share"):
        low, high = getattr(space, f"{name}_low"), getattr(space, f"{name}_high")
        if low > high:
            raise TrainingError(f"tune.{name}_low ({low:g}) is above tune.{name}_high ({high:g})")
    for crop in space.crops:
        if crop < 32 or crop % 32:
            raise TrainingError(
                f"tune.crops holds {crop} px, which is not a multiple of 32: "
                f"{max(32, round(crop / 32) * 32)} is"
            )
    wanted = [n for n in (settings.train.valid_images, space.valid_images) if n]
    return resolve(
        settings,
        {
            "max_steps": space.steps,
            "validations": min(space.validations, space.steps),
            "valid_images": min(wanted, default=0),
            "checkpoint_steps": 0,
        },
    )


def check_names(settings: Settings) -> None:
    """Refuse architectures and encoders that do not exist, before any trial spends time on them.

    Raises:
        TrainingError: One is misspelt; near names are suggested.
    """
    from boatseg_core.training.network import check_architecture, check_encoder

    for name in settings.tune.architectures:
        check_architecture(name, "tune.architectures:")
    for name in settings.tune.encoders:
        check_encoder(name, "tune.encoders:")
    if not settings.tune.encoders:
        check_encoder(settings.train.encoder)


def suggest(trial: optuna.Trial, settings: Settings) -> dict[str, Any]:
    """Choose the fields of ``settings.train`` that a trial overrides."""
    space, train = settings.tune, settings.train
    return {
        "architecture": trial.suggest_categorical("architecture", list(space.architectures)),
        "encoder": trial.suggest_categorical("encoder", list(space.encoders or (train.encoder,))),
        "learning_rate": trial.suggest_float(
            "learning_rate", space.learning_rate_low, space.learning_rate_high, log=True
        ),
        "loss": trial.suggest_categorical("loss", list(space.losses)),
        "positive_share": trial.suggest_float(
            "positive_share", space.positive_share_low, space.positive_share_high
        ),
        "crop": trial.suggest_categorical("crop", list(space.crops or (train.crop,))),
    }


def start(base: Train, settings: Settings) -> dict[str, Any]:
    """The settings in force, moved into the space where they lie outside."""
    space = settings.tune
    first: dict[str, Any] = {
        name: min(
            max(getattr(base, name), getattr(space, f"{name}_low")), getattr(space, f"{name}_high")
        )
        for name in ("learning_rate", "positive_share")
    }
    choices = {
        "architecture": space.architectures,
        "encoder": space.encoders or (base.encoder,),
        "loss": space.losses,
        "crop": space.crops or (base.crop,),
    }
    return first | {
        name: getattr(base, name) for name, some in choices.items() if getattr(base, name) in some
    }


def digest(settings: Settings, base: Train, gold_version: int) -> str:
    """Eight characters for the question: trials that answer another cannot be compared."""
    searched = {"architecture", "encoder", "learning_rate", "loss", "positive_share", "crop"}
    question = {
        "gold": gold_version,
        "space": settings.tune.model_dump(mode="json", exclude=_CIRCUMSTANCES),
        "train": base.model_dump(mode="json", exclude=searched | {"threads"}),
        "threshold": settings.predict.threshold,
        "unsearched": {
            **({} if settings.tune.encoders else {"encoder": base.encoder}),
            **({} if settings.tune.crops else {"crop": base.crop}),
        },
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:8]

"""The best hyperparameters a study found, kept with the home."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boatseg_core.config import Settings
from boatseg_core.errors import TrainingError


def _file(settings: Settings) -> Path:
    return settings.paths.root / "hyperparameters.json"


@dataclass(frozen=True)
class Kept:
    """Hyperparameters in force.

    Attributes:
        params: Fields of ``settings.train`` to override.
        study: Name of the study that found them.
        value: Per-image IoU of its best trial above predicting nothing.
        gold_version: Delta version of the data it looked at; None where an older version of
            boatseg did not say.
    """

    params: dict[str, Any]
    study: str
    value: float
    gold_version: int | None


def save_best(
    settings: Settings, params: dict[str, Any], *, study: str, value: float, gold_version: int
) -> None:
    """Keep the best parameters of a study, replacing those of an earlier one atomically.

    Args:
        settings: Name the home.
        params: Fields of ``settings.train`` to override.
        study: Name of the study in its storage.
        value: Objective of the best trial.
        gold_version: Delta version of the data.
    """
    file = _file(settings)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    record = {"params": params, "study": study, "value": value, "gold_version": gold_version}
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)


def load_best(settings: Settings) -> Kept | None:
    """The hyperparameters in force; None before anything was tuned.

    Raises:
        TrainingError: The file is damaged.
    """
    file = _file(settings)
    if not file.exists():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        params = record["params"]
        kept = Kept(
            params, str(record["study"]), float(record["value"]), record.get("gold_version")
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise TrainingError(
            f"{file} is damaged ({error}): delete it, or run `boatseg tune` again"
        ) from error
    if not isinstance(params, dict):
        raise TrainingError(f"{file} holds no parameters: delete it, or run `boatseg tune` again")
    return kept

"""The best hyperparameters a study found, kept with the home."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from boatseg_core.config import Settings
from boatseg_core.errors import TrainingError


def _file(settings: Settings) -> Path:
    return settings.paths.root / "hyperparameters.json"


def save_best(settings: Settings, params: dict[str, Any], *, study: str, value: float) -> None:
    """Keep the best parameters of a study, replacing those of an earlier one atomically.

    Args:
        settings: Name the home.
        params: Fields of ``settings.train`` to override.
        study: Name of the study in the Optuna journal.
        value: Score of the best trial.
    """
    file = _file(settings)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    record = {"params": params, "study": study, "value": value}
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)


def load_best(settings: Settings) -> dict[str, Any]:
    """Fields of ``settings.train`` to override; empty before anything was tuned.

    Raises:
        TrainingError: The file is damaged.
    """
    file = _file(settings)
    if not file.exists():
        return {}
    try:
        params = json.loads(file.read_text(encoding="utf-8"))["params"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise TrainingError(
            f"{file} is damaged ({error}): delete it, or materialize tuned_hyperparameters again"
        ) from error
    if not isinstance(params, dict):
        raise TrainingError(f"{file} holds no parameters: delete it and tune again")
    return params

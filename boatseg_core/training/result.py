"""What a training gives back; free of torch, so that callers can name the type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from boatseg_core.training.evaluate import Evaluation

# One validation: step, epoch, seconds, learning_rate, score, and the metrics of
# `boatseg_core.metrics.iou` and the loss, each under `train_` and `valid_`.
Entry: TypeAlias = dict[str, float]
OnEpoch: TypeAlias = Callable[[Entry], None]


@dataclass(frozen=True)
class TrainResult:
    """A trained model, ready to register.

    Attributes:
        folder: Model folder with ``model.onnx`` and ``boatseg.json``.
        history: One entry a validation, oldest first.
        metrics: Of the best weights on the whole test split, see
            :attr:`boatseg_core.training.evaluate.Evaluation.metrics`.
        params: What the training was run with, flat.
        gold_version: Delta version of ``gold_dataset`` it was trained on.
        seconds: Wall time of training, test and export.
        best_step: Optimiser step the weights are from.
        evaluation: Everything the test said, and its pictures.
    """

    folder: Path
    history: list[Entry]
    metrics: dict[str, float]
    params: dict[str, Any]
    gold_version: int
    seconds: float
    best_step: int
    evaluation: Evaluation | None = None

"""Whole runs, tracked: a study whose best trial is kept, and a training that ends in the registry.

Everything here is what the assets ``tuned_hyperparameters`` and ``trained_model`` call.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from boatseg_core.config import Settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.gallery.plots import training_curve_markdown
from boatseg_core.imaging.overlay import contact_sheet, data_uri, jpeg_uri, markdown_image
from boatseg_core.lake import Lake
from boatseg_core.registry.promote import Promotion, promote
from boatseg_core.registry.register import RegisteredModel, register
from boatseg_core.training.evaluate import Evaluation
from boatseg_core.training.fit import resolve, train
from boatseg_core.training.hyperparameters import load_best, save_best
from boatseg_core.training.result import TrainResult
from boatseg_core.training.study.board import Board
from boatseg_core.training.study.mlflow_trials import TrialRuns
from boatseg_core.training.tracking import start_run
from boatseg_core.training.tune import TuneResult, tune
from boatseg_core.training.workplace import claim

_MAX_BYTES = 120_000  # a row of Dagster's event log, shown inline


@dataclass(frozen=True)
class TrainedModel:
    """A training that ended in the registry.

    Attributes:
        result: What the training gave back.
        model: The registered version.
        promotion: Whether it went into production, and why.
        curve: Loss and IoU over the steps, as Markdown with an embedded picture.
        examples: The worst and the best predictions on test images, likewise.
        tuned_by: Study the hyperparameters come from; empty where they are the settings.
    """

    result: TrainResult
    model: RegisteredModel
    promotion: Promotion
    curve: str
    examples: str
    tuned_by: str = ""


def tune_and_keep(gold: GoldDataset, settings: Settings, *, progress: bool = True) -> TuneResult:
    """Run a study, log every trial as a nested MLflow run, and keep the best parameters.

    They are kept if they do better than predicting nothing; those kept before stay otherwise.

    Args:
        gold: A pinned version of the data set.
        settings: Bound the study.
        progress: Show progress on standard error.

    Raises:
        TrainingError: A split, the space or the storage cannot be used, or every trial failed.
        RegistryError: MLflow's store cannot be written to.
    """
    with (
        start_run(settings, gold, name="tune", params=study_params(settings)) as study_run,
        TrialRuns(settings, gold, study_run.run_id) as runs,
        ExitStack() as stack,
    ):
        board = [stack.enter_context(Board())] if progress else []
        result = tune(gold, settings, work=settings.paths.work / "tune", watchers=[runs, *board])
        study_run.log_params({"study": result.study_name, **result.best_params})
        study_run.log_metrics({"best_value": result.best_value, "steps": result.steps})
        for name, png in result.plots.items():
            study_run.log_file(f"plots/{name}.png", png)
    if result.beats_nothing:
        save_best(
            settings,
            result.best_params,
            study=result.study_name,
            value=result.best_value,
            gold_version=gold.version,
        )
    return result


def study_params(settings: Settings) -> dict[str, Any]:
    """What a study was asked: its space and budgets, without where it is kept."""
    asked = settings.tune.model_dump(mode="json", exclude={"storage"})
    return {f"tune.{name}": value for name, value in asked.items()}


def study_pictures(result: TuneResult) -> dict[str, str]:
    """Embed the plots of a study as Markdown, by name."""
    return {
        name: markdown_image(data_uri(png, "image/png"), name.replace("_", " "))
        for name, png in result.plots.items()
    }


def train_and_register(
    lake: Lake,
    gold: GoldDataset,
    settings: Settings,
    *,
    use_tuned: bool = True,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> TrainedModel:
    """Train, log to MLflow, register the model and promote it if it passes the gate.

    Args:
        lake: Its table ``promotions`` gets the decision.
        gold: A pinned version of the data set.
        settings: Say how to train and where the registry is.
        use_tuned: Override ``settings.train`` with the best parameters of the last study.
        overrides: Fields of ``settings.train`` that are stronger than both.
        progress: Show progress on standard error.

    Raises:
        TrainingError: See :func:`boatseg_core.training.fit.train`.
        RegistryError: MLflow's store cannot be written to.
    """
    kept = load_best(settings) if use_tuned else None
    overrides = {**(kept.params if kept else {}), **(overrides or {})}
    from boatseg_core.training.resume import fingerprint

    chosen = resolve(settings, overrides)
    name = fingerprint(gold, chosen, settings.predict.threshold)[:16]
    with (
        start_run(
            settings,
            gold,
            params=chosen.model_dump(mode="json"),  # a training that fails had them, too
            tags={
                "tuned": str(kept is not None).lower(),
                **({"study": kept.study} if kept else {}),
            },
        ) as run,
        claim(settings.paths.work / "train", name, run.run_id) as workplace,
    ):
        result = train(
            gold,
            settings,
            overrides=overrides,
            work=workplace.folder,
            on_epoch=run.on_epoch,
            progress=progress,
            resume=workplace.resume,
        )
        run.log_params(result.params)
        run.log_result(result)
        model = register(result.folder, settings, run_id=run.run_id)
        shutil.rmtree(workplace.folder, ignore_errors=True)  # the registry has its own copy
    decision = promote(lake, settings, model.version)
    curve = training_curve_markdown(
        result.history,
        floor=result.metrics.get("floor_per_image_iou"),
        class_name=settings.labels.class_name,
    )
    sheet = examples_sheet(result.evaluation)
    return TrainedModel(result, model, decision, curve, sheet, kept.study if kept else "")


def examples_sheet(evaluation: Evaluation | None) -> str:
    """Show the worst, the false and the best predictions of a test, as Markdown."""
    if evaluation is None:
        return ""
    shown = [
        (f"{kind}: {example.caption}", example.picture)
        for kind, count in (("worst", 4), ("false alarms", 2), ("best", 4))
        for example in evaluation.examples.get(kind, ())[:count]
    ]
    if not shown:
        return ""
    captions, pictures = zip(*shown, strict=True)
    sheet = contact_sheet(pictures, columns=4, captions=captions)
    return markdown_image(jpeg_uri(sheet, max_bytes=_MAX_BYTES), "predictions against truth")

"""Whole runs, tracked: a study whose best trial is kept, and a training that ends in the registry.

Everything here is what the assets ``tuned_hyperparameters`` and ``trained_model`` call.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from boatseg_core.config import Settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.gallery.plots import training_curve_markdown
from boatseg_core.gallery.sheets import comparison_sheet
from boatseg_core.imaging.decode import decode
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.imaging.rle import BoolMask
from boatseg_core.inference.predictor import Predictor
from boatseg_core.lake import Lake
from boatseg_core.registry.promote import Promotion, promote
from boatseg_core.registry.register import RegisteredModel, register
from boatseg_core.training.fit import train
from boatseg_core.training.hyperparameters import load_best, save_best
from boatseg_core.training.result import TrainResult
from boatseg_core.training.tracking import TrackedRun, start_run
from boatseg_core.training.tune import TrialRow, TuneResult, tune

_EXAMPLES = 8


@dataclass(frozen=True)
class TrainedModel:
    """A training that ended in the registry.

    Attributes:
        result: What the training gave back.
        model: The registered version.
        promotion: Whether it went into production, and why.
        curve: Loss and IoU over the steps, as Markdown with an embedded picture.
        examples: Predictions against truth on test images, likewise.
    """

    result: TrainResult
    model: RegisteredModel
    promotion: Promotion
    curve: str
    examples: str


def tune_and_keep(gold: GoldDataset, settings: Settings, *, progress: bool = True) -> TuneResult:
    """Run a study, log every trial as a nested MLflow run, and keep the best parameters.

    Args:
        gold: A pinned version of the data set.
        settings: Bound the study.
        progress: Show progress on standard error.

    Raises:
        TrainingError: A split cannot be used, or every trial failed.
        RegistryError: MLflow's store cannot be written to.
    """
    with start_run(settings, gold, name="tune") as study_run:

        def log_trial(row: TrialRow) -> None:
            _log_trial(settings, gold, study_run.run_id, row)

        result = tune(
            gold,
            settings,
            work=settings.paths.work / "tune",
            on_trial=log_trial,
            progress=progress,
        )
        study_run.log_params({"study": result.study_name, **result.best_params})
        study_run.log_metrics({"best_value": result.best_value})
    if result.best_params:
        save_best(settings, result.best_params, study=result.study_name, value=result.best_value)
    return result


def train_and_register(
    lake: Lake,
    gold: GoldDataset,
    settings: Settings,
    *,
    use_tuned: bool = True,
    progress: bool = True,
) -> TrainedModel:
    """Train, log to MLflow, register the model and promote it if it passes the gate.

    Args:
        lake: Its table ``promotions`` gets the decision.
        gold: A pinned version of the data set.
        settings: Say how to train and where the registry is.
        use_tuned: Override ``settings.train`` with the best parameters of the last study.
        progress: Show progress on standard error.

    Raises:
        TrainingError: See :func:`boatseg_core.training.fit.train`.
        RegistryError: MLflow's store cannot be written to.
    """
    overrides = load_best(settings) if use_tuned else {}
    with start_run(settings, gold, tags={"tuned": str(bool(overrides)).lower()}) as run:
        result = train(
            gold,
            settings,
            overrides=overrides,
            # A folder of its own: two trainings at once must not register each other's weights.
            work=settings.paths.work / "train" / run.run_id,
            on_epoch=run.on_epoch,
            progress=progress,
        )
        run.log_params(result.params)
        run.log_result(result)
        examples = _examples(gold, result, run)
    model = register(result.folder, settings, run_id=run.run_id)
    shutil.rmtree(result.folder.parent, ignore_errors=True)  # the registry has its own copy
    decision = promote(lake, settings, model.version)
    curve = training_curve_markdown(
        result.history,
        floor=result.metrics.get("floor_per_image_iou"),
        class_name=settings.labels.class_name,
    )
    return TrainedModel(result, model, decision, curve, examples)


def _examples(gold: GoldDataset, result: TrainResult, run: TrackedRun) -> str:
    """Draw the exported model's predictions over test images, those with objects first."""
    predictor = Predictor.load(result.folder)
    index = gold.index("test").sort("boat_count", "image_id", descending=[True, False])
    chosen = index.head(_EXAMPLES)
    pictures = gold.lake.pick(
        "gold_dataset",
        ["image", "mask"],
        chosen["image_id"].to_list(),
        batch_ids=chosen["batch_id"].unique().to_list(),
        version=gold.version,
    )
    keys = ["image_id", "batch_id"]
    found = chosen.select(keys).join(pictures, on=keys, how="inner", maintain_order="left")
    rows: list[tuple[str, Any, BoolMask, BoolMask]] = []
    for image_id, data, truth in found.select("image_id", "image", "mask").iter_rows():
        image = decode(data)
        (prediction,) = predictor.predict_arrays([image])
        rows.append((image_id, image, decode_mask(truth), prediction.mask()))
    sheet, picture = comparison_sheet(rows)
    run.log_file("pictures/test_predictions.jpg", picture)
    return sheet


def _log_trial(settings: Settings, gold: GoldDataset, parent: str, row: TrialRow) -> None:
    name = f"trial-{row['number']}"
    with start_run(
        settings, gold, name=name, tags={"state": row["state"]}, parent_run_id=parent
    ) as run:
        run.log_params(row["params"])
        for entry in row["history"]:
            run.on_epoch(entry)
        if row["value"] is not None:
            run.log_metrics({"value": row["value"]})

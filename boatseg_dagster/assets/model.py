"""Model: hyperparameters, training, registration."""

import math
from typing import Any

import dagster as dg
from pydantic import Field

from boatseg_core.dataset import GoldDataset
from boatseg_core.training.hyperparameters import Kept
from boatseg_dagster.assets.gold import gold_dataset
from boatseg_dagster.metadata import asset_args
from boatseg_dagster.resources import Boatseg


class TrainingConfig(dg.Config):
    """What a run may choose.

    Attributes:
        use_tuned: Train with the best hyperparameters found so far, where there are any.
    """

    use_tuned: bool = Field(True, description="Use the best hyperparameters found so far.")


class TuningConfig(dg.Config):
    """What a run may choose.

    Attributes:
        skip: Run no study; the hyperparameters that were kept stay in force.
    """

    skip: bool = Field(False, description="Run no study: what was kept stays in force.")


@dg.asset(deps=[gold_dataset], **asset_args("model", "optuna", "pytorch"))
def tuned_hyperparameters(
    context: dg.AssetExecutionContext, boatseg: Boatseg, config: TuningConfig
) -> dg.MaterializeResult[Any]:
    """The best hyperparameters an Optuna study found on gold."""
    from boatseg_core.training.hyperparameters import load_best
    from boatseg_core.training.run import study_pictures, tune_and_keep

    settings = boatseg.settings()
    if config.skip:
        context.log.info("skipped: the hyperparameters that were kept stay in force")
        return dg.MaterializeResult(
            data_version=_in_force(load_best(settings)),
            metadata={"skipped": True, **_kept(load_best(settings))},
        )
    gold = GoldDataset(boatseg.lake())
    result = tune_and_keep(gold, settings)
    states = [row["state"] for row in result.trials]
    pictures = study_pictures(result)
    return dg.MaterializeResult(
        data_version=_in_force(load_best(settings)),
        metadata={
            "skipped": False,
            "best_value": result.best_value,
            "beats_nothing": result.beats_nothing,
            "study": result.study_name,
            "gold_version": gold.version,
            "steps": result.steps,
            **{state: states.count(state) for state in ("complete", "pruned", "failed", "lost")},
            "trials": dg.MetadataValue.table([_trial(row) for row in result.trials]),
            **{name: dg.MetadataValue.md(text) for name, text in pictures.items()},
            **_kept(load_best(settings)),
        },
    )


@dg.asset(
    deps=[gold_dataset, tuned_hyperparameters],
    **asset_args("model", "pytorch", "onnx", "mlflow"),
)
def trained_model(
    context: dg.AssetExecutionContext, boatseg: Boatseg, config: TrainingConfig
) -> dg.MaterializeResult[Any]:
    """A segmentation model trained on gold, registered, and promoted if it passes the gate."""
    from boatseg_core.training.run import train_and_register

    lake, settings = boatseg.lake(), boatseg.settings()
    gold = GoldDataset(lake)
    run = train_and_register(lake, gold, settings, use_tuned=config.use_tuned)
    context.log.info(f"{run.promotion.action}: {run.promotion.reason}")
    pictures = {"curve": run.curve, "prediction_against_truth": run.examples}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(run.model.version)),
        metadata={
            "model_name": run.model.name,
            "model_version": run.model.version,
            "promotion": f"{run.promotion.action}: {run.promotion.reason}",
            "gold_version": gold.version,
            "mlflow_run_id": run.model.run_id,
            "tuned_by": run.tuned_by or "nobody: the settings",
            **{f"test/{name}": value for name, value in run.result.metrics.items()},
            "hyperparameters": dg.MetadataValue.json(run.result.params),
            **{name: dg.MetadataValue.md(text) for name, text in pictures.items() if text},
        },
    )


def _in_force(kept: Kept | None) -> dg.DataVersion:
    return dg.DataVersion(f"{kept.study}/{kept.value:.6f}" if kept else "settings")


def _kept(kept: Kept | None) -> dict[str, Any]:
    params = dg.MetadataValue.json(kept.params if kept else {})
    return {"in_force": params, "in_force_since": kept.study if kept else "no study: the settings"}


def _trial(row: dict[str, Any]) -> dg.TableRecord:
    # Dagster's tables have no place for numbers that are none.
    shown = {
        name: None if isinstance(row[name], float) and math.isnan(row[name]) else row[name]
        for name in ("number", "state", "value", "boat_iou", "steps", "seconds", "reason")
    }
    params = ", ".join(f"{name} {value}" for name, value in row["params"].items())
    return dg.TableRecord({**shown, "params": params})

"""Model: hyperparameters, training, registration."""

from typing import Any

import dagster as dg
from pydantic import Field

from boatseg_core.dataset import GoldDataset
from boatseg_dagster.assets.gold import gold_dataset
from boatseg_dagster.metadata import asset_args
from boatseg_dagster.resources import Boatseg


class TrainingConfig(dg.Config):
    """What a run may choose.

    Attributes:
        use_tuned: Train with the best hyperparameters found so far, where there are any.
    """

    use_tuned: bool = Field(True, description="Use the best hyperparameters found so far.")


@dg.asset(deps=[gold_dataset], **asset_args("model", "optuna", "pytorch"))
def tuned_hyperparameters(
    context: dg.AssetExecutionContext, boatseg: Boatseg
) -> dg.MaterializeResult[Any]:
    """The best hyperparameters a short Optuna study found on gold."""
    from boatseg_core.training.run import tune_and_keep

    gold = GoldDataset(boatseg.lake())
    result = tune_and_keep(gold, boatseg.settings())
    states = [row["state"] for row in result.trials]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{result.study_name}/{result.best_value:.6f}"),
        metadata={
            "best_params": dg.MetadataValue.json(result.best_params),
            "best_score": result.best_value,
            "study": result.study_name,
            "gold_version": gold.version,
            **{state: states.count(state) for state in ("complete", "pruned", "failed")},
            "trials": dg.MetadataValue.table([_trial(row) for row in result.trials]),
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
            **{f"test/{name}": value for name, value in run.result.metrics.items()},
            "hyperparameters": dg.MetadataValue.json(run.result.params),
            **{name: dg.MetadataValue.md(text) for name, text in pictures.items() if text},
        },
    )


def _trial(row: dict[str, Any]) -> dg.TableRecord:
    shown = ("number", "state", "value", "boat_iou", "over_floor", "seconds")
    params = ", ".join(f"{name} {value}" for name, value in row["params"].items())
    return dg.TableRecord({**{name: row[name] for name in shown}, "params": params})

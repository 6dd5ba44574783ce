"""Put a trained model folder into the registry."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boatseg_core
from boatseg_core.errors import RegistryError
from boatseg_core.inference.options import predictor_options
from boatseg_core.inference.spec import MODEL_FILE, SPEC_FILE, ModelSpec
from boatseg_core.registry.connection import connect, reported
from boatseg_core.registry.lookup import MODEL_FOLDER

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

    from boatseg_core.config import Settings

log = logging.getLogger(__name__)

# What loading the model needs: never torch, and pinned, since another run-time may round otherwise.
_REQUIREMENTS = ("numpy", "pillow", "pydantic", "pandas")
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class RegisteredModel:
    """A version in the registry.

    Attributes:
        name: Name of the registered model.
        version: Version, counted from 1.
        run_id: MLflow run it belongs to.
        uri: ``models:/name/version``.
    """

    name: str
    version: int
    run_id: str
    uri: str


def register(
    folder: Path,
    settings: Settings,
    *,
    run_id: str | None = None,
    tags: dict[str, str] | None = None,
) -> RegisteredModel:
    """Register a model folder as a pyfunc from code.

    The version is tagged with what decisions are made on: the test metrics, the gold version, the
    git commit and the graph's checksum. It gets no alias; that is for
    :func:`boatseg_core.registry.promote.promote`.

    Args:
        folder: Folder with ``model.onnx`` and ``boatseg.json``.
        settings: Name the registry, the experiment and the model.
        run_id: MLflow run that trained it; without one a run is made.
        tags: More tags of the version.

    Raises:
        RegistryError: The folder is not a valid model folder, or the registry refuses it.
    """
    spec = ModelSpec.load(folder)
    client = connect(settings)
    import mlflow

    name = settings.registry.model_name
    with (
        reported(f"{folder} cannot be registered as {name}"),
        tempfile.TemporaryDirectory(prefix="boatseg-register-") as work,
    ):
        staged = _stage(folder, Path(work) / MODEL_FOLDER)
        options: dict[str, Any] = (
            {"run_id": run_id}
            if run_id
            else {"experiment_id": _experiment(client, settings), "run_name": "register"}
        )
        with mlflow.start_run(**options) as run, warnings.catch_warnings():
            # The signature is written by hand and tested; no example is needed to infer it.
            warnings.filterwarnings("ignore", message=".*input example was not provided.*")
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("pyfunc.py")),
                artifacts={"model": str(staged)},
                # The house itself is on no package index: it travels with the model.
                code_paths=[str(Path(boatseg_core.__file__).parent)],
                pip_requirements=requirements(),
                signature=signature(),
                # MLflow lets a loader change what is named here, and nothing else. None is what
                # the model was measured with.
                # One key, since MLflow also logs each as a parameter of the training run, where
                # a batch_size and a threshold of another meaning already are.
                model_config={
                    "predictor": predictor_options(settings)
                    | {"threshold": None, "min_area": None, "split_neck": None}
                },
            )
        _create(client, name)
        # The client's call: mlflow.register_model also prints to the terminal.
        version = client.create_model_version(
            name,
            source=info.model_uri,
            run_id=run.info.run_id,
            tags={**version_tags(spec), **(tags or {})},
            model_id=info.model_id,
        )
    log.info("registered %s version %s", name, version.version)
    return RegisteredModel(
        name=name,
        version=int(version.version),
        run_id=run.info.run_id,
        uri=f"models:/{name}/{version.version}",
    )


def version_tags(spec: ModelSpec) -> dict[str, str]:
    """Tags of a version: metrics, and where the model came from."""
    tags = {
        "gold_version": "" if spec.gold_version is None else str(spec.gold_version),
        "git_commit": spec.git_commit,
        "architecture": spec.architecture,
        "encoder": spec.encoder,
        "class_name": spec.class_name,
        "onnx_sha256": spec.onnx_sha256,
    }
    measured = {
        f"metric.{key}": f"{value:.6g}"
        for key, value in spec.metrics.items()
        if value is not None and math.isfinite(value)
    }
    return {key: value for key, value in tags.items() if value} | measured


def requirements() -> list[str]:
    """Pinned packages that loading the model needs."""
    found = {
        name: version
        for name in (*_REQUIREMENTS, *_RUNTIMES)
        if (version := _installed(name)) is not None
    }
    if not any(name in found for name in _RUNTIMES):
        raise RegistryError("onnxruntime is not installed: install boatseg's dependencies again")
    return [f"{name}=={version}" for name, version in found.items()]


def signature() -> ModelSignature:
    """Columns in and out of the pyfunc."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, DataType

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema(
            [
                ColSpec(DataType.long, "boat_count"),
                ColSpec(DataType.long, "boat_area"),
                ColSpec(Array(DataType.string), "rles"),
                ColSpec(Array(Array(DataType.long)), "boxes"),
                ColSpec(Array(DataType.long), "areas"),
                ColSpec(Array(DataType.double), "scores"),
                ColSpec(DataType.long, "width"),
                ColSpec(DataType.long, "height"),
                ColSpec(DataType.string, "error"),
            ]
        ),
        params=ParamSchema([ParamSpec("mask", DataType.boolean, False)]),
    )


def _create(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _experiment(client: MlflowClient, settings: Settings) -> str:
    """Find or create the experiment, keeping its artifacts in the home unless a server does."""
    name = settings.registry.experiment
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    local = not settings.tracking_uri.startswith(("http://", "https://"))
    location = settings.paths.mlflow_artifacts.as_uri() if local else None
    return str(client.create_experiment(name, artifact_location=location))


def _stage(folder: Path, target: Path) -> Path:
    """Copy exactly the two files, under the folder name that ``lookup`` looks for."""
    target.mkdir()
    for file in (MODEL_FILE, SPEC_FILE):
        shutil.copy2(folder / file, target / file)
    return target


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

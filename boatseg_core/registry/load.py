"""Load a registered model through mlflow, as batch scoring does."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import RegistryError
from boatseg_core.inference.options import predictor_options
from boatseg_core.inference.predictor import Predictor
from boatseg_core.registry.connection import connect, reported
from boatseg_core.registry.lookup import MODEL_FOLDER, PRODUCTION

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

    from boatseg_core.config import Settings


@dataclass(frozen=True)
class LoadedModel:
    """A model as the registry gave it.

    Attributes:
        name: Name of the registered model.
        version: Version, counted from 1.
        pyfunc: MLflow's wrapper, for frames in and out.
        predictor: The predictor inside it, for streams.
    """

    name: str
    version: int
    pyfunc: PyFuncModel
    predictor: Predictor


def load_pyfunc(settings: Settings, alias_or_version: str | int = PRODUCTION) -> LoadedModel:
    """Load a version from the registry.

    Args:
        settings: Name the registry and the model, and how the predictor runs.
        alias_or_version: ``production``, another alias, or a version number.

    Raises:
        RegistryError: There is no such version, or it cannot be loaded.
    """
    version = find(settings, alias_or_version)
    name = settings.registry.model_name
    import mlflow

    path = sys.path
    try:
        with reported(f"model {name} version {version} cannot be loaded"):
            pyfunc = mlflow.pyfunc.load_model(
                f"models:/{name}/{version}", model_config={"predictor": predictor_options(settings)}
            )
    finally:
        # MLflow puts the model's own copy of the house in front of ours, for the whole process.
        sys.path = path
    inner: Any = pyfunc.unwrap_python_model()
    predictor = getattr(inner, "predictor", None)
    if not isinstance(predictor, Predictor):
        raise RegistryError(
            f"model {name} version {version} was not registered by boatseg: promote one that was"
        )
    return LoadedModel(name, version, pyfunc, predictor)


def find(settings: Settings, alias_or_version: str | int = PRODUCTION) -> int:
    """Version number behind an alias, by mlflow's own client.

    Raises:
        RegistryError: There is no such model, alias or version.
    """
    client = connect(settings)
    name, wanted = settings.registry.model_name, str(alias_or_version)
    with reported(f"model {name} has no {wanted} version (train one first, or promote one)"):
        if wanted.isascii() and wanted.isdigit():
            return int(client.get_model_version(name, wanted).version)
        return int(client.get_model_version_by_alias(name, wanted).version)


def fetch(settings: Settings, version: int) -> Path:
    """Folder with a version's ``model.onnx`` and ``boatseg.json``, wherever mlflow keeps it.

    Raises:
        RegistryError: The files cannot be had.
    """
    client = connect(settings)
    name = settings.registry.model_name
    import mlflow

    with reported(f"the files of model {name} version {version} cannot be had"):
        uri = client.get_model_version_download_uri(name, str(version))
        return Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"{uri.rstrip('/')}/artifacts/{MODEL_FOLDER}"
            )
        )

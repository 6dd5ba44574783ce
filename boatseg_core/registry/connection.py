"""The way to MLflow's registry, for the modules that may import mlflow."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from boatseg_core.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from boatseg_core.config import Settings


def connect(settings: Settings) -> MlflowClient:
    """Point mlflow at the registry the settings name, and return a client of it.

    Raises:
        RegistryError: The store cannot be opened.
    """
    # A private registry has no business calling home; has to be set before the import.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    quiet_store()
    uri = settings.tracking_uri
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    with reported(f"the model registry {without_password(uri)} cannot be opened"):
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def quiet_store() -> None:
    """Keep MLflow from telling what :func:`reported` says, or nobody asked.

    It tells at length how it makes the tables of a fresh store, and prints a traceback of every
    statement that fails.
    """
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Turn mlflow's errors into a :class:`RegistryError` that says what was being done."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        # SQLAlchemy may begin with how it came to ask at all, in brackets.
        lines = [line for line in str(error).splitlines() if not line.startswith("(raised as")]
        first = (lines or [type(error).__name__])[0]
        raise RegistryError(f"{what}: {first}{_advice(first)}") from error


def _advice(said: str) -> str:
    """What to do about what a store said, where that is known."""
    known = {
        "database is locked": "another process is writing to it: try again when that has ended",
        "readonly database": "it, or its folder, is not to be written to by this user",
        "unable to open database": "see whether its folder is there and may be written to",
        "disk is full": "make room there",
    }
    return next((f"; {advice}" for words, advice in known.items() if words in said), "")


def without_password(uri: str) -> str:
    """Hide the user part of a URI, for messages."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else uri

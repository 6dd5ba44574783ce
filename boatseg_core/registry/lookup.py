"""Find a version's files in the registry without importing mlflow.

The service runs on this: MLflow's SQLite registry is read as a plain database file, read-only, and
an MLflow server is asked over its REST API (https://mlflow.org/docs/latest/rest-api.html). A test
keeps both in agreement with mlflow's own client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from boatseg_core.errors import RegistryError
from boatseg_core.inference.spec import MODEL_FILE, SPEC_FILE, ModelSpec

if TYPE_CHECKING:
    import sqlite3

    from boatseg_core.config import Settings

PRODUCTION = "production"
CHALLENGER = "challenger"
PREVIOUS = "previous"

# Folder of a logged model that holds model.onnx and boatseg.json.
MODEL_FOLDER = "boatseg"
_WITHIN = f"artifacts/{MODEL_FOLDER}"

_DELETED = "Deleted_Internal"


@dataclass(frozen=True)
class ModelRef:
    """A registered version and where its files are on this machine.

    Attributes:
        name: Name of the registered model.
        version: Version, counted from 1.
        folder: Folder with ``model.onnx`` and ``boatseg.json``.
    """

    name: str
    version: int
    folder: Path


class Store(Protocol):
    """What a registry has to answer; locations are those of the whole logged model."""

    def aliased(self, name: str, alias: str) -> int | None:
        """Version an alias points to; None without such an alias."""

    def location(self, name: str, version: int) -> str | None:
        """URI of a version's files; None without such a version."""

    def local(self, location: str, target: Path) -> Path:
        """Folder of the model's two files; where they are remote they are brought to target."""


def resolve(settings: Settings, alias_or_version: str | int = PRODUCTION) -> ModelRef:
    """Find a version.

    Args:
        settings: Name the registry and the model.
        alias_or_version: ``production``, another alias, or a version number.

    Raises:
        RegistryError: There is no such version, its files are not there, or the registry cannot
            be read.
    """
    name = settings.registry.model_name
    store = open_store(settings)
    version = _version(store, settings, alias_or_version)
    location = store.location(name, version)
    if location is None:
        raise RegistryError(
            f"model {name} has no version {version}: `boatseg models` lists the versions"
        )
    # The location is in the cache's name: a version registered again elsewhere is another model.
    digest = hashlib.sha256(f"{settings.tracking_uri} {location}".encode()).hexdigest()[:16]
    cache = settings.paths.work / "models" / f"{name}-{version}-{digest}"
    folder = store.local(location, cache)
    for file in (MODEL_FILE, SPEC_FILE):
        if not (folder / file).is_file():
            raise RegistryError(
                f"{folder / file} of model {name} version {version} is missing: the registry knows "
                "it, its artifact store does not; promote another version"
            )
    return ModelRef(name, version, folder)


def version_of(settings: Settings, alias: str = PRODUCTION) -> int | None:
    """Version an alias points to; None where the alias, the model or the registry is not there.

    Raises:
        RegistryError: The registry is there and cannot be read.
    """
    try:
        return open_store(settings).aliased(settings.registry.model_name, alias)
    except NoRegistryError:
        return None


class NoRegistryError(RegistryError):
    """Nothing was ever registered in this home."""


def open_store(settings: Settings) -> Store:
    """Open the registry the settings name.

    Raises:
        RegistryError: It is neither SQLite nor an MLflow server.
    """
    uri = settings.tracking_uri
    scheme = uri.partition("://")[0].lower()
    if scheme == "sqlite":
        return SqliteStore(uri)
    if scheme in ("http", "https"):
        from boatseg_core.registry.rest import RestStore

        return RestStore(uri)
    raise RegistryError(
        f"the service cannot read a registry on {scheme} by itself: set registry.tracking_uri to "
        "the http(s) address of an MLflow server in front of it (mlflow server "
        "--backend-store-uri ...)"
    )


class SqliteStore:
    """MLflow's SQLite file, opened read-only for each question.

    Args:
        uri: ``sqlite:///path``.
    """

    def __init__(self, uri: str) -> None:
        path = uri.partition("://")[2].partition("?")[0].removeprefix("/")
        self.path = Path(unquote(path)).absolute()

    def aliased(self, name: str, alias: str) -> int | None:
        """See :class:`Store`."""
        with self._open() as db:
            row = db.execute(
                "select version from registered_model_aliases where name = ? and alias = ?",
                (name, alias),
            ).fetchone()
        return None if row is None else int(row[0])

    def location(self, name: str, version: int) -> str | None:
        """See :class:`Store`."""
        with self._open() as db:
            row = db.execute(
                "select coalesce(storage_location, source) from model_versions "
                "where name = ? and version = ? and current_stage != ?",
                (name, version, _DELETED),
            ).fetchone()
            if row is not None and str(row[0]).startswith("models:/m-"):
                row = db.execute(
                    "select artifact_location from logged_models where model_id = ?",
                    (str(row[0]).removeprefix("models:/"),),
                ).fetchone()
        return None if row is None else str(row[0])

    def local(self, location: str, target: Path) -> Path:
        """See :class:`Store`."""
        folder = local_path(location)
        if folder is None:
            raise RegistryError(
                f"the model's files are at {location}, which only MLflow can fetch: set "
                "registry.tracking_uri to the http(s) address of an MLflow server that proxies "
                "artifacts"
            )
        return folder / _WITHIN

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        import sqlite3

        if not self.path.is_file():
            raise NoRegistryError(
                f"there is no model registry at {self.path} yet: `boatseg train` registers a model"
            )
        try:
            with closing(
                sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=5)
            ) as db:
                yield db
        except sqlite3.Error as error:
            raise RegistryError(
                f"the model registry {self.path} cannot be read: {error}"
            ) from error


def local_path(location: str) -> Path | None:
    """Path of a location on this machine; None for one that is elsewhere."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    # A drive letter looks like a scheme.
    if not parts.scheme or (len(parts.scheme) == 1 and Path(location).is_absolute()):
        return Path(location)
    return None


def _version(store: Store, settings: Settings, alias_or_version: str | int) -> int:
    text = str(alias_or_version)
    if text.isascii() and text.isdigit():
        return int(text)
    name = settings.registry.model_name
    version = store.aliased(name, text)
    if version is None:
        raise RegistryError(
            f"model {name} has no version with the alias {text}: train one that passes the gate "
            "(`boatseg train`), or promote a version (`boatseg models` lists them)"
        )
    return version


def checked(ref: ModelRef) -> ModelSpec:
    """Read a version's description, making sure that its graph belongs to it.

    Raises:
        RegistryError: It does not, or a file is missing.
    """
    return ModelSpec.load(ref.folder)

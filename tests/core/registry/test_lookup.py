from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import RegistryError
from boatseg_core.lake import Lake
from boatseg_core.registry.connection import connect
from boatseg_core.registry.load import fetch, find
from boatseg_core.registry.lookup import SqliteStore, checked, local_path, resolve, version_of
from boatseg_core.registry.promote import promote
from boatseg_core.registry.register import RegisteredModel

Add = Callable[..., RegisteredModel]


def test_agrees_with_mlflow(lake: Lake, settings: Settings, add: Add) -> None:
    for iou in (0.5, 0.6, 0.3):
        promote(lake, settings, add(boat_iou=iou).version)
    for wanted in ("production", "previous", "challenger", 1, 2, 3, "2"):
        ref = resolve(settings, wanted)
        assert ref.version == find(settings, wanted)
        assert ref.folder.resolve() == fetch(settings, ref.version).resolve()
        assert checked(ref).metrics["boat_iou"] == [0.5, 0.6, 0.3][ref.version - 1]
    assert version_of(settings) == 2
    assert version_of(settings, "nobody") is None


def test_deleted_and_unknown_are_gone(settings: Settings, add: Add) -> None:
    with pytest.raises(RegistryError, match="no version with the alias production"):
        resolve(settings)
    add()
    connect(settings).delete_model_version(settings.registry.model_name, "1")
    with pytest.raises(RegistryError, match="has no version 1"):
        resolve(settings, 1)
    with pytest.raises(RegistryError, match="no version with the alias production"):
        resolve(settings, "production")


def test_an_empty_home_is_no_error_to_a_waiting_service(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "new")
    assert version_of(settings) is None
    with pytest.raises(RegistryError, match="there is no model registry at"):
        resolve(settings)
    assert not (tmp_path / "new").exists()


def test_a_registry_is_never_written(settings: Settings, add: Add) -> None:
    add()
    before = settings.paths.mlflow_db.read_bytes()
    resolve(settings, 1)
    assert settings.paths.mlflow_db.read_bytes() == before


def test_damaged_registries_are_named(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    settings.paths.mlflow_db.write_bytes(b"no database" * 100)
    with pytest.raises(RegistryError, match="cannot be read: file is not a database"):
        version_of(settings)
    settings.paths.mlflow_db.unlink()
    sqlite3.connect(settings.paths.mlflow_db).close()
    with pytest.raises(RegistryError, match="no such table"):
        resolve(settings, 1)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////srv/a b/mlflow.db", "/srv/a b/mlflow.db"),
        ("sqlite:////srv/a%20b/mlflow.db?timeout=9", "/srv/a b/mlflow.db"),
    ],
)
def test_sqlite_uris(uri: str, path: str) -> None:
    assert SqliteStore(uri).path == Path(path)


def test_locations(tmp_path: Path) -> None:
    assert local_path(str(tmp_path)) == tmp_path
    assert local_path((tmp_path / "a b").as_uri()) == tmp_path / "a b"
    assert local_path("s3://bucket/key") is None
    with pytest.raises(RegistryError, match=r"s3://bucket/key, which only MLflow can fetch"):
        SqliteStore("sqlite:///x.db").local("s3://bucket/key", tmp_path)


def test_other_stores_say_what_to_set() -> None:
    settings = load_settings(registry={"tracking_uri": "postgresql://user:secret@db/mlflow"})
    with pytest.raises(RegistryError, match=r"set registry\.tracking_uri") as error:
        resolve(settings)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("module", ["rest", "lookup", "load", "register", "promote", "gate"])
def test_mlflow_is_not_imported_with_the_module(module: str) -> None:
    code = (
        f"import sys; import boatseg_core.registry.{module}\n"
        "bad = {'mlflow', 'torch', 'sqlalchemy', 'onnxruntime', 'dagster'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_model import encoded, scene, write_model

from boatseg_core.config import Settings
from boatseg_core.errors import RegistryError
from boatseg_core.inference.spec import MODEL_FILE
from boatseg_core.registry.connection import connect
from boatseg_core.registry.load import load_pyfunc
from boatseg_core.registry.lookup import resolve
from boatseg_core.registry.register import RegisteredModel, register, requirements

BOAT = encoded(scene(boats=((10, 20, 8, 3),)))


def test_a_version_says_where_it_comes_from(
    settings: Settings, add: Callable[..., RegisteredModel]
) -> None:
    first, second = add(gold_version=7, git_commit="abc123"), add()
    assert (first.version, second.version) == (1, 2)
    version = connect(settings).get_model_version(first.name, "1")
    assert version.run_id == first.run_id
    assert version.tags["gold_version"] == "7"
    assert version.tags["git_commit"] == "abc123"
    assert version.tags["metric.boat_iou"] == "0.6"
    assert not version.aliases


def test_a_training_run_is_gone_on_with(settings: Settings, tmp_path: Path) -> None:
    import mlflow

    client = connect(settings)
    kept = (settings.paths.root / "elsewhere").as_uri()  # MLflow's own default is ./mlruns
    mlflow.set_experiment(
        experiment_id=mlflow.create_experiment("of-the-training", artifact_location=kept)
    )
    with mlflow.start_run() as run:
        pass
    write_model(tmp_path)
    registered = register(tmp_path, settings, run_id=run.info.run_id, tags={"why": "test"})
    assert registered.run_id == run.info.run_id
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    assert client.get_model_version(registered.name, "1").tags["why"] == "test"


def test_no_pickle_no_torch(settings: Settings, add: Callable[..., RegisteredModel]) -> None:
    model = resolve(settings, add().version)
    files = [path for path in model.folder.parents[1].rglob("*") if path.is_file()]
    assert any(path.name == MODEL_FILE for path in files)
    assert not [
        path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".ckpt")
    ]
    pinned = (model.folder.parents[1] / "requirements.txt").read_text()
    assert all(line.startswith("mlflow") or "==" in line for line in pinned.split())
    assert "onnxruntime" in pinned
    assert "torch" not in pinned
    assert requirements() == [line for line in pinned.split() if not line.startswith("mlflow")]


def test_pyfunc_takes_bytes_and_base64(
    settings: Settings, add: Callable[..., RegisteredModel]
) -> None:
    import pandas as pd

    model = load_pyfunc(settings, add().version)
    text = base64.b64encode(BOAT).decode()
    for images in ([BOAT, b"no picture", BOAT], [text, "no picture", text]):
        answer = model.pyfunc.predict(pd.DataFrame({"image": images}, index=[5, 6, 7]))
        assert list(answer.index) == [5, 6, 7]
        assert list(answer["boat_count"]) == [1, 0, 1]
        assert answer["boxes"][5] == [[10, 20, 8, 3]]
        assert answer["error"][5] == ""
        assert "not a" in answer["error"][6]
    masked = model.pyfunc.predict(pd.DataFrame({"image": [BOAT]}), params={"mask": True})
    assert base64.b64decode(masked["mask_png"][0]).startswith(b"\x89PNG")
    # What MLflow's own scoring server and Spark rely on.
    schema = model.pyfunc.metadata.signature.outputs
    assert schema.input_names() == list(answer.columns)


def test_loading_leaves_the_module_path_alone_and_heeds_the_settings(
    settings: Settings, add: Callable[..., RegisteredModel]
) -> None:
    version = add(min_area=5).version
    before = list(sys.path)
    model = load_pyfunc(settings, version)
    assert sys.path == before
    assert (model.name, model.version) == (settings.registry.model_name, version)
    assert model.predictor.min_area == 5
    changed = settings.model_copy(
        update={"predict": type(settings.predict)(min_area=99, threads=1, batch_size=7)}
    )
    other = load_pyfunc(changed, version).predictor
    assert (other.min_area, other.session.threads, other.batch_size) == (99, 1, 7)
    assert other.threshold == 0.5


def test_the_model_runs_without_boatseg_installed(
    settings: Settings, add: Callable[..., RegisteredModel], tmp_path: Path
) -> None:
    folder = resolve(settings, add().version).folder.parents[1]
    (tmp_path / "boat.png").write_bytes(BOAT)
    code = (
        "import sys, pathlib, pandas as pd, mlflow\n"
        # As on a machine without it: neither the source tree nor an editable install's hook.
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f)]\n"
        "try:\n    import boatseg_core\n    raise SystemExit('boatseg is installed')\n"
        "except ModuleNotFoundError: pass\n"
        f"model = mlflow.pyfunc.load_model({str(folder)!r})\n"
        "answer = model.predict(pd.DataFrame({'image': [pathlib.Path('boat.png').read_bytes()]}))\n"
        "assert answer['boat_count'][0] == 1\n"
        "assert 'torch' not in sys.modules\n"
    )
    source = str(Path(__file__).parents[3])
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    probe = subprocess.run(
        [sys.executable, "-c", "import boatseg_core; print(boatseg_core.__file__)"],
        cwd=tmp_path, env=env, capture_output=True, text=True,
    )  # fmt: skip
    if probe.returncode == 0 and not probe.stdout.startswith(source):
        pytest.skip("boatseg is installed in site-packages")
    if probe.returncode == 0:  # a .pth file puts the source tree on the path
        code = f"import sys; sys.path[:] = [p for p in sys.path if p != {source!r}]\n" + code
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True)


def test_what_is_no_model_folder_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="not a boatseg model folder"):
        register(tmp_path, settings)
    write_model(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(b"other")
    with pytest.raises(RegistryError, match="is not the graph"):
        register(tmp_path, settings)


def test_a_version_of_another_make_is_refused(settings: Settings) -> None:
    import mlflow

    connect(settings)

    class Other(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    mlflow.set_experiment(settings.registry.experiment)
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="model",
            python_model=Other(),
            registered_model_name=settings.registry.model_name,
            pip_requirements=[],
        )
    with pytest.raises(RegistryError, match="not registered by boatseg"):
        load_pyfunc(settings, 1)
    with pytest.raises(RegistryError, match=r"is missing"):
        resolve(settings, 1)

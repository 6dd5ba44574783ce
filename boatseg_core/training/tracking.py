"""Log a training to MLflow; the only module of this room that opens MLflow's store.

By the client alone, without mlflow's notion of an active run: nothing is left behind in the
process when a training fails, and two trainings in two threads do not mix.
"""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import BoatsegError, RegistryError
from boatseg_core.gallery.plots import training_curve
from boatseg_core.imaging.overlay import contact_sheet, to_jpeg
from boatseg_core.registry.connection import quiet_store, reported, without_password
from boatseg_core.training.commit import git_commit, uncommitted_changes
from boatseg_core.training.data_checks import data_checks
from boatseg_core.training.data_checks import tags as checks_tags
from boatseg_core.training.lost_runs import PROCESS, close_lost_runs
from boatseg_core.training.provenance import environment, split_hash
from boatseg_core.training.report import render
from boatseg_core.training.report_plots import figure
from boatseg_core.training.study.process import this_process

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.training.evaluate import Evaluation
    from boatseg_core.training.result import Entry, TrainResult

# MLflow's own columns end there.
_PARAM_LENGTH, _TAG_LENGTH = 6000, 5000
_TABLE = "gold_dataset"

log = logging.getLogger(__name__)


class TrackedRun:
    """One MLflow run that is being written.

    Attributes:
        run_id: MLflow's id of the run.
        experiment_id: MLflow's id of the experiment.
    """

    def __init__(
        self, client: MlflowClient, run_id: str, experiment_id: str, class_name: str
    ) -> None:
        self.run_id, self.experiment_id = run_id, experiment_id
        self._client, self._class_name = client, class_name

    def on_epoch(self, entry: Entry) -> None:
        """Log one validation; hand it to :func:`boatseg_core.training.fit.train`."""
        skip = ("step", "epoch")
        self.log_metrics(
            {name: value for name, value in entry.items() if name not in skip},
            step=int(entry["step"]),
        )

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log numbers; those that are not finite are left out."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        rows = [
            Metric(name, float(value), now, step)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        with reported(f"run {self.run_id} cannot be written"):
            self._client.log_batch(self.run_id, metrics=rows)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log what the run was made with."""
        from mlflow.entities import Param

        rows = [Param(name, _text(value)[:_PARAM_LENGTH]) for name, value in params.items()]
        with reported(f"run {self.run_id} cannot be written"):
            self._client.log_batch(self.run_id, params=rows)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        with reported(f"run {self.run_id} cannot be written"):
            for name, value in tags.items():
                self._client.set_tag(self.run_id, name, value)

    def log_file(self, name: str, data: bytes) -> None:
        """Keep a small file, such as a picture, with the run.

        Args:
            name: File name, with folders if wanted, such as ``curves/training.png``.
            data: The bytes.
        """
        folder, _, file = name.rpartition("/")
        with (
            reported(f"{name} cannot be kept with run {self.run_id}"),
            tempfile.TemporaryDirectory(prefix="boatseg-artifact-") as work,
        ):
            path = Path(work) / file
            path.write_bytes(data)
            self._client.log_artifact(self.run_id, str(path), folder or None)

    def log_result(self, result: TrainResult) -> None:
        """Log the test metrics, the history and its curve."""
        self.log_metrics(
            {f"test_{name}": value for name, value in result.metrics.items()},
            step=result.best_step,
        )
        self.log_metrics({"train_seconds": result.seconds, "best_step": result.best_step})
        self.log_file("curves/history.json", json.dumps(_finite(result.history), indent=1).encode())
        curve = training_curve(result.history, class_name=self._class_name)
        self.log_file("curves/training.png", curve)
        if result.evaluation is not None:
            self._log_evaluation(result.evaluation)

    def _log_evaluation(self, evaluation: Evaluation) -> None:
        """Keep the page of the test, its figure and numbers, and its pictures by kind."""
        png = figure(evaluation.facts)
        page = render(evaluation, png, f"run {self.run_id} on the test split")
        facts = json.dumps(evaluation.facts, indent=1, allow_nan=False)
        self.log_file("evaluation/evaluation.html", page.encode())
        self.log_file("evaluation/evaluation.json", facts.encode())
        self.log_file("curves/evaluation.png", png)
        for kind, examples in evaluation.examples.items():
            if examples:
                pictures = [example.picture for example in examples]
                captions = [f"{example.caption} | {example.image_id}" for example in examples]
                sheet = contact_sheet(pictures, captions=captions)
                self.log_file(f"pictures/{kind.replace(' ', '_')}.jpg", to_jpeg(sheet))


@contextmanager
def start_run(
    settings: Settings,
    gold: GoldDataset,
    *,
    name: str = "train",
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    parent_run_id: str | None = None,
) -> Iterator[TrackedRun]:
    """Open a run, and close it as finished, failed or killed; why it failed is its tag ``failure``.

    The gold version is a tag (``gold_version``) and a dataset input, whichever number it is;
    ``split_hash`` names which image is in which split, ``quality_criteria`` what images had to meet
    to be in gold. What the data checks let through and rejected is kept as ``data_checks.json``,
    its totals as tags (``data_checks``, ``data_rejected``, ...); a nested run leaves that to its
    parent. The git commit is a tag where there is one, and ``git_dirty`` says whether the code was
    changed since; versions of what it runs on are kept as ``environment.json``. Runs of processes
    that were killed are closed on the way.

    Args:
        settings: Name the store and the experiment.
        gold: The pinned data set.
        name: What the run is called.
        params: Parameters to log at once.
        tags: More tags.
        parent_run_id: Run this one is nested under.

    Yields:
        The run.

    Raises:
        RegistryError: The store cannot be opened or written to.
    """
    client = _connect(settings)
    commit, dirty = git_commit(), uncommitted_changes()
    checks = None if parent_run_id else data_checks(gold, settings)
    with reported(f"a run cannot be started in {without_password(settings.tracking_uri)}"):
        experiment_id = _experiment(client, settings)
        if not parent_run_id:
            close_lost_runs(client, experiment_id)
        run_id = client.create_run(
            experiment_id,
            run_name=name,
            tags={
                "gold_version": str(gold.version),
                "split_hash": split_hash(gold),
                "quality_criteria": settings.quality.model_dump_json(),
                **(checks_tags(checks) if checks else {}),
                **({"mlflow.source.git.commit": commit, "git_commit": commit} if commit else {}),
                **({} if dirty is None else {"git_dirty": str(dirty).lower()}),
                PROCESS: this_process(),
                **({"mlflow.parentRunId": parent_run_id} if parent_run_id else {}),
                **(tags or {}),
            },
        ).info.run_id
    run = TrackedRun(client, run_id, experiment_id, settings.labels.class_name)
    with _closed(client, run):
        with reported(f"run {run_id} cannot be written"):
            client.log_inputs(run_id, datasets=[_dataset(gold)])
        run.log_params(params or {})
        run.log_file("environment.json", json.dumps(environment(), indent=1).encode())
        if checks:
            run.log_file("data_checks.json", json.dumps(checks, indent=1).encode())
        yield run


@contextmanager
def _closed(client: MlflowClient, run: TrackedRun) -> Iterator[None]:
    """Close a run at the end of the block, as what it ended in."""

    def close(status: str) -> None:
        with reported(f"run {run.run_id} cannot be closed"):
            client.set_terminated(run.run_id, status)

    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        # Where the store fails, too, what happened first is what has to be mended first.
        try:
            if not interrupted:
                words = f"{'' if isinstance(error, BoatsegError) else type(error).__name__ + ': '}"
                run.set_tags({"failure": f"{words}{error}"[:_TAG_LENGTH]})
            close("KILLED" if interrupted else "FAILED")
        except RegistryError as second:
            log.warning("%s; the next training closes it", second)
        raise
    close("FINISHED")


def _connect(settings: Settings) -> MlflowClient:
    # Both are read when mlflow is imported. A private store has no business calling home.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = settings.tracking_uri
    import mlflow

    quiet_store()
    with reported(f"the tracking store {without_password(uri)} cannot be opened"):
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def _experiment(client: MlflowClient, settings: Settings) -> str:
    """Find or create the experiment; a file store's artifacts live in the home."""
    from mlflow.exceptions import MlflowException

    name = settings.registry.experiment
    found = client.get_experiment_by_name(name)
    if found is None:
        local = not settings.tracking_uri.startswith(("http://", "https://"))
        location = settings.paths.mlflow_artifacts.as_uri() if local else None
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            # Another process may have been faster; any other reason shows again below.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise RegistryError(
            f"the MLflow experiment {name} is deleted: restore it with `mlflow experiments "
            f"restore --experiment-id {found.experiment_id}` or set registry.experiment"
        )
    return str(found.experiment_id)


def _dataset(gold: GoldDataset) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"uri": f"{gold.lake.root.rstrip('/')}/{_TABLE}", "delta_version": gold.version}
    splits = dict(gold.index()["split"].value_counts().sort("split").iter_rows())
    dataset = Dataset(
        name=_TABLE,
        digest=f"v{gold.version}",
        source_type="delta_table",
        source=json.dumps(source),
        profile=json.dumps({"images": splits}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _finite(history: list[Entry]) -> list[dict[str, float | None]]:
    return [
        {name: value if math.isfinite(value) else None for name, value in entry.items()}
        for entry in history
    ]

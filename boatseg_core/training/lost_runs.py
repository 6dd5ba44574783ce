"""MLflow runs whose process was killed: without this they would be shown as running for ever."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from boatseg_core.training.study.process import is_gone

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

PROCESS = "boatseg.process"
"""Tag of a run: the process that writes it, see :mod:`boatseg_core.training.study.process`."""


def close_lost_runs(client: MlflowClient, experiment_id: str) -> list[str]:
    """Close the running runs of an experiment whose process is gone, as killed.

    Those of another machine, of another container or from before this machine was started stay as
    they are: whether they are alive cannot be seen from here.

    Args:
        client: Of the store.
        experiment_id: MLflow's id of the experiment.

    Returns:
        The ids of the closed runs.
    """
    closed, token = [], None
    while True:
        page = client.search_runs(
            [experiment_id], "attributes.status = 'RUNNING'", page_token=token
        )
        for run in page:
            process = run.data.tags.get(PROCESS)
            if process and is_gone(process):
                client.set_terminated(run.info.run_id, "KILLED")
                log.warning(
                    "the run %s was left open by a process that is gone, and is closed as killed",
                    run.info.run_name,
                )
                closed.append(run.info.run_id)
        token = page.token
        if not token:
            return closed

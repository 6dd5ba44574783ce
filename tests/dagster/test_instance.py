"""The Dagster instance of a home."""

from __future__ import annotations

import logging
from pathlib import Path

import dagster as dg
import pytest

from boatseg_core.config import load_settings
from boatseg_dagster.instance import open_instance


@dg.op
def waits() -> None:
    logging.getLogger("boatseg_core.lake.files_local").warning("waiting for a repair")


@dg.job
def commits() -> None:
    waits()


def test_what_the_lake_warns_of_is_in_the_log_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DAGSTER_HOME", "BOATSEG_HOME"):
        monkeypatch.setenv(name, "")  # put back afterwards
    with open_instance(load_settings(home=tmp_path)) as instance:
        run = commits.execute_in_process(instance=instance)
        said = [entry.user_message for entry in instance.all_logs(run.run_id)]
    assert "waiting for a repair" in said

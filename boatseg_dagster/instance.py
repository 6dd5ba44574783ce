"""The Dagster instance of a home."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from boatseg_core.config import Settings

_CONFIG = """\
# Dagster's own settings for this home. Edit freely: boatseg writes the file only once.
telemetry:
  enabled: false
nux: # the sign-up dialog
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
    # Two trainings at once would halve both on one machine.
    tag_concurrency_limits:
      - key: boatseg/heavy
        limit: 1
python_logs: # what the lake warns of stands in the log of the run
  managed_python_loggers:
    - boatseg_core
run_monitoring:
  enabled: true
  max_runtime_seconds: 43200 # a run that is still "started" after twelve hours is not
"""


def prepare(settings: Settings) -> Path:
    """Create the home's ``DAGSTER_HOME`` and point this process and its children to it.

    Raises:
        ConfigError: The home cannot be written to.
    """
    home = settings.paths.create()
    config = home.dagster / "dagster.yaml"
    if not config.exists():
        config.write_text(_CONFIG)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ["BOATSEG_HOME"] = str(home.root)
    return home.dagster


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the home's instance, so that its runs show in ``boatseg dev``."""
    prepare(settings)
    return dg.DagsterInstance.get()

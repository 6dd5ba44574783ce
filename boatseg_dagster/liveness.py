"""Tell runs that are being worked on from runs whose process is gone.

A killed process leaves its run marked as started for ever, and Dagster's default launcher cannot
tell. Each run therefore carries the process that executes it as a tag.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import dagster as dg

PROCESS_TAG = "boatseg/process"

_STARTED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
_TAGGED_WITHIN = 300.0  # s

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """Name this process: host and boot, process id, start time."""
    return f"{_host()}/{os.getpid()}/{_started(os.getpid())}"


def close_dead_runs(instance: dg.DagsterInstance) -> int:
    """Report runs as failed whose process was on this machine and is gone.

    Returns:
        Number of runs closed.
    """
    closed = 0
    for record in instance.get_run_records(_STARTED):
        run, process = record.dagster_run, record.dagster_run.tags.get(PROCESS_TAG)
        # The tag comes with the first step: a run that has been started for minutes without one
        # was killed before, or by a version that did not tag.
        since = record.start_time or record.create_timestamp.timestamp()
        untagged = process is None and time.time() - since > _TAGGED_WITHIN
        if untagged or _is_dead(process or ""):
            instance.report_run_failed(run, "the process that executed this run is gone")
            closed += 1
    return closed


def _is_dead(process: str) -> bool:
    host, _, rest = process.partition("/")
    number, _, started = rest.partition("/")
    # Another machine's processes cannot be seen from here: its own sensor closes them.
    return host == _host() and number.isdigit() and _started(int(number)) != started


def _host() -> str:
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown"
    return f"{socket.gethostname()}:{boot}"


def _started(pid: int) -> str:
    """Start time of a process, so that a reused number is not mistaken for it; empty if gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        pass
    if Path("/proc/self").exists():
        return ""
    try:  # no /proc: the number has to do
        os.kill(pid, 0)
    except OSError:
        return ""
    return "alive"

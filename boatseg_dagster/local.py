"""Run the pipeline here and now, without a daemon: what ``boatseg demo`` and ``boatseg run`` do.

The sensor's own function says what to run, and every step is a Dagster run on the home's
instance, so ``boatseg dev`` shows afterwards exactly what happened.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg

from boatseg_core.config import Settings
from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.errors import BoatsegError
from boatseg_core.ingest.discover import discover
from boatseg_core.lake import Lake
from boatseg_dagster.definitions import build_defs
from boatseg_dagster.instance import open_instance
from boatseg_dagster.resources import Boatseg
from boatseg_dagster.sensors import look

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_MAX_TRIES = 3
# What Dagster makes of SIGTERM and SIGINT while a step runs; neither comes with a message.
_INTERRUPTIONS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


class StageError(BoatsegError):
    """A run failed; the message says which step and why."""


@dataclass
class LocalPipeline:
    """The pipeline on one home.

    Attributes:
        settings: Settings in force.
        say: Called with a line for people when something is worth saying.
        seconds: Time spent, by stage.
    """

    settings: Settings
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the home's instance and load the definitions for it."""
        self.instance = open_instance(self.settings)
        self.boatseg = Boatseg(home=str(self.settings.paths.root))
        self.definitions = build_defs(self.boatseg)
        self.lake = Lake.from_settings(self.settings)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def ingest(self) -> int:
        """Bring everything that lies in the landing folder to gold.

        Returns:
            Number of runs; 0 when there was nothing new.
        """
        self._settle()
        runs, tries = 0, Counter[tuple[str, str]]()
        while True:
            # Somebody is waiting for the answer: what has just failed is tried again at once.
            tick = look(self.instance, self.boatseg, warn=self.say, patient=False)
            for addition in tick.dynamic_partitions_requests or []:
                self.instance.add_dynamic_partitions(
                    addition.partitions_def_name, list(addition.partition_keys)
                )
            if not tick.run_requests and not tick.dynamic_partitions_requests:
                break
            for request in tick.run_requests or []:
                job, batch = str(request.job_name), request.partition_key
                tries[job, batch or ""] += 1
                if tries[job, batch or ""] > _MAX_TRIES:
                    raise StageError(
                        f"{job} {batch or ''} succeeded {_MAX_TRIES} times and is still "
                        f"outstanding ({request.tags.get('boatseg/reason', 'new labels')})"
                    )
                self.run(job, batch)
                runs += 1
        if waiting := outdated_batches(self.lake, self.settings):
            batch, reason = next(iter(waiting.items()))
            raise StageError(
                f"{len(waiting)} batches are outstanding but another process works on them "
                f"({batch}: {reason}): wait for it, then run this again"
            )
        return runs

    def run(self, job_name: str, batch_id: str | None = None) -> dg.ExecuteInProcessResult:
        """Run a job in this process and record it on the instance.

        Raises:
            StageError: A step failed or a blocking check stopped the run.
        """
        job = self.definitions.resolve_job_def(job_name)
        with self.stage(job_name):
            result = job.execute_in_process(
                run_config=_QUIET,
                instance=self.instance,
                partition_key=batch_id,
                raise_on_error=False,
            )
        for check in result.get_asset_check_evaluations():
            if not check.passed:
                self.say(f"check {check.asset_check_key.name}: {check.description}")
        if not result.success:
            raise StageError(_reason(result, job_name, batch_id))
        return result

    def _settle(self) -> None:
        """Wait until no file is too young to be sealed, as the next tick of the sensor would."""
        for _ in range(3):
            if not discover(self.lake, self.settings).unsettled:
                return
            time.sleep(self.settings.landing.settle_seconds + 0.1)


def _reason(result: dg.ExecuteInProcessResult, job_name: str, batch_id: str | None) -> str:
    what = job_name if batch_id is None else f"{job_name} of batch {batch_id}"
    for event in result.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None and error.cls_name in _INTERRUPTIONS:
            return f"{what} was interrupted in {event.step_key}: run this again, it goes on"
        if error is not None:
            text = error.message.strip()
            head, _, rest = text.partition(": ")
            if head.endswith(error.cls_name or "?"):  # our sentence, without the class before it
                text = rest
            return f"{what} failed in {event.step_key}: {text}"
    return f"{what} failed: see its run in boatseg dev"

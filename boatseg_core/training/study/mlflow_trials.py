"""Each trial as an MLflow run nested under that of the study.

Only the process that asks for trials writes them: workers that write to one SQLite file at the same
time would wait for each other.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from boatseg_core.errors import TrainingError
from boatseg_core.training.result import Entry
from boatseg_core.training.study.rows import TrialRow
from boatseg_core.training.tracking import TrackedRun, start_run

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset


class TrialRuns:
    """Watches a study and writes its trials to MLflow while they run.

    Args:
        settings: Name the store.
        gold: The data.
        parent_run_id: Run of the study.
    """

    def __init__(self, settings: Settings, gold: GoldDataset, parent_run_id: str) -> None:
        self._settings, self._gold, self._parent = settings, gold, parent_run_id
        self._open: dict[int, tuple[AbstractContextManager[TrackedRun], TrackedRun]] = {}

    def __enter__(self) -> TrialRuns:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Only where the study itself broke off without telling of them.
        for number in list(self._open):
            self._close(number, error or TrainingError("the study ended"))

    def started(self, row: TrialRow) -> None:
        """Open a run."""
        tags = {} if row["retry_of"] is None else {"retry_of": str(row["retry_of"])}
        context = start_run(
            self._settings,
            self._gold,
            name=f"trial-{row['number']}",
            params=row["params"],
            tags=tags,
            parent_run_id=self._parent,
        )
        self._open[row["number"]] = context, context.__enter__()

    def validated(self, number: int, entry: Entry) -> None:
        """Log a validation."""
        if number in self._open:
            self._open[number][1].on_epoch(entry)

    def ended(self, row: TrialRow) -> None:
        """Log how it ended and close the run."""
        if row["number"] not in self._open:
            return
        run = self._open[row["number"]][1]
        run.set_tags(
            {"state": row["state"], **({"reason": row["reason"]} if row["reason"] else {})}
        )
        names = ("value", "boat_iou", "per_image_iou", "steps", "seconds")
        run.log_metrics({name: row[name] for name in names})
        error: BaseException | None = None
        if row["state"] == "failed":
            error = TrainingError(row["reason"])
        elif row["state"] == "lost":
            error = KeyboardInterrupt(row["reason"])  # MLflow's word for it is killed
        self._close(row["number"], error)

    def _close(self, number: int, error: BaseException | None) -> None:
        context, _ = self._open.pop(number)
        if error is None:
            context.__exit__(None, None, None)
        else:
            context.__exit__(type(error), error, error.__traceback__)

"""An Optuna study whose best parameters :func:`boatseg_core.training.fit.train` accepts.

One process asks the study for trials; they run in it, or in workers that share the study's storage
with it (:mod:`boatseg_core.training.study`). Importing this module is cheap; optuna, torch and
lightning come with the first call.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from boatseg_core.errors import TrainingError
from boatseg_core.training.fit import check_splits, fit
from boatseg_core.training.result import Entry
from boatseg_core.training.study.crew import Alone, Crew, Workers
from boatseg_core.training.study.recovery import Watch, close_lost
from boatseg_core.training.study.rows import TrialRow, row_of
from boatseg_core.training.study.space import check_names, suggest, trial_settings
from boatseg_core.training.study.trial import Task, Workshop

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset

log = logging.getLogger(__name__)

_TICK = 1.0  # s; between two looks at trials that others run


@dataclass(frozen=True)
class TuneResult:
    """What a study found.

    Attributes:
        best_params: Fields of ``settings.train`` to override; empty where no trial finished.
        best_value: Per-image IoU of these minus that of predicting nothing on the same images;
            ``nan`` where no trial finished.
        trials: One row a trial of the study, also of earlier calls; see
            :func:`boatseg_core.training.study.rows.row_of`.
        study_name: Study in the storage; a later call with the same question goes on with it.
        seconds: Wall time of this call.
        plots: Pictures of the study by name, as PNG; see
            :mod:`boatseg_core.training.study.plots`.
    """

    best_params: dict[str, Any]
    best_value: float
    trials: list[TrialRow]
    study_name: str
    seconds: float
    plots: dict[str, bytes] = field(default_factory=dict)

    @property
    def beats_nothing(self) -> bool:
        """Whether the best trial is better than a model that predicts nothing."""
        return self.best_value > 0

    @property
    def steps(self) -> int:
        """Optimiser steps spent on all trials."""
        return sum(row["steps"] for row in self.trials)


class Watcher(Protocol):
    """Is told what happens while a study runs."""

    def started(self, row: TrialRow) -> None:
        """A trial of this call starts."""

    def validated(self, number: int, entry: Entry) -> None:
        """A trial was validated."""

    def ended(self, row: TrialRow) -> None:
        """A trial of this call has ended, or was lost."""


def tune(
    gold: GoldDataset,
    settings: Settings,
    *,
    work: Path,
    watchers: Sequence[Watcher] = (),
) -> TuneResult:
    """Search architecture, encoder, learning rate, loss, share of positive crops and crop.

    Trials are compared by the per-image IoU above that of predicting nothing, of the validation
    whose weights a training would keep. ``tune.trials`` bounds the study over all calls and all
    processes that share it; failures count only for the call they happened in, so that a study can
    go on once their cause is mended. ``tune.max_seconds`` bounds this call.

    Interrupted, it ends its workers and closes their trials, whose parameters are tried again by
    the next call.

    Args:
        gold: A pinned version of the data set.
        settings: ``tune`` bounds the study, ``train`` gives all that is not searched.
        work: Folder for checkpoints; each trial's is deleted.
        watchers: Told of every trial of this call.

    Raises:
        TrainingError: A split cannot be used, the space or the storage cannot, or every trial
            failed.
    """
    from boatseg_core.training.study.opening import create
    from boatseg_core.training.study.plots import draw
    from boatseg_core.training.study.storage import storage_errors

    started = time.monotonic()
    check_splits(gold, ("train", "valid"))
    check_names(settings)
    base = trial_settings(settings)
    with _quiet_optuna():
        study = create(settings, base, gold.version)
        with storage_errors(settings):
            shop = Workshop(settings, base, study.study_name, gold.version, work, fit)
            _Call(study, shop, gold, watchers, started).run()
            rows = [row_of(trial) for trial in study.get_trials(deepcopy=False)]
            rows = [row for row in rows if row["state"] != "surplus"]
            params, value = _best(rows, settings)
            return TuneResult(
                params,
                value,
                rows,
                study.study_name,
                time.monotonic() - started,
                draw(study, settings.labels.class_name),
            )


def _best(rows: list[TrialRow], settings: Settings) -> tuple[dict[str, Any], float]:
    done = [row for row in rows if row["state"] == "complete"]
    failed = [row for row in rows if row["state"] == "failed"]
    if not done:
        if failed and not any(row["state"] == "pruned" for row in rows):
            raise TrainingError(
                f"every trial of the study failed, the last one: {failed[-1]['reason']}"
            )
        log.warning(
            "no trial finished within tune.max_seconds = %g s: the settings stay as they are",
            settings.tune.max_seconds,
        )
        return {}, math.nan
    best = max(done, key=lambda row: row["value"])
    if best["value"] <= 0:
        log.warning(
            "no trial did better than predicting nothing (the best: %.3f): raise tune.steps",
            best["value"],
        )
    return dict(best["params"]), float(best["value"])


class _Call:
    """One call of :func:`tune`: gives out trials until a budget is used up."""

    def __init__(
        self,
        study: optuna.Study,
        shop: Workshop,
        gold: GoldDataset,
        watchers: Sequence[Watcher],
        started: float,
    ) -> None:
        self._study, self._shop, self._gold = study, shop, gold
        self._watchers, self._tune = watchers, shop.settings.tune
        self._deadline = started + self._tune.max_seconds
        self._session = uuid.uuid4().hex
        self._watch = Watch(self._tune.stale_seconds)
        self._mine: set[int] = set()

    def run(self) -> None:
        """Run trials until there is none left to run."""
        self._recover()
        if not self._may_start() and not self._foreign():
            return
        crew: Crew
        if self._tune.workers > 1:
            crew = Workers(self._shop, min(self._tune.workers, self._tune.trials))
        else:
            crew = Alone(self._shop, self._study, self._gold)
        try:
            while True:
                self._recover()
                while crew.free() and self._may_start():
                    task = self._ask()
                    if task is not None:
                        crew.give(task)
                # Others may die and leave their trials to us.
                hope = self._foreign() and time.monotonic() < self._deadline
                if not self._mine and not self._may_start() and not hope:
                    return
                crew.wait(_TICK, self)
        finally:
            crew.close()
            left = sorted(self._mine)
            for number in left:
                close_lost(self._study, self._trial(number), "interrupted", self._session)
            for number in left:
                self.ended(number)

    def validated(self, number: int, entry: Entry) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.validated(number, entry)

    def ended(self, number: int) -> None:
        """Say how a trial ended."""
        self._mine.discard(number)
        row = row_of(self._trial(number))
        log.info("trial %d %s: %s %s", number, row["state"], row["value"], row["params"])
        for watcher in self._watchers:
            watcher.ended(row)

    def died(self, number: int, reason: str) -> None:
        """Close a trial of ours that nobody runs any more."""
        close_lost(self._study, self._trial(number), reason, self._session)
        self.ended(number)

    def _ask(self) -> Task | None:
        """Draw a trial, unless others have used up the budget in the meantime."""
        import optuna

        trial = self._study.ask()
        self._mine.add(trial.number)
        trial.set_user_attr("session", self._session)
        before = [t for t in self._trials() if t.number < trial.number]
        if sum(map(self._counts, before)) >= self._tune.trials:
            trial.set_user_attr("outcome", "surplus")
            trial.set_user_attr("reason", "the budget was used up by others")
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            self._mine.discard(trial.number)
            return None
        params = suggest(trial, self._shop.settings)
        seconds = self._deadline + self._tune.grace_seconds - time.monotonic()
        row = row_of(self._trial(trial.number))
        for watcher in self._watchers:
            watcher.started(row)
        return Task(trial.number, trial._trial_id, params, seconds)

    def _may_start(self) -> bool:
        counted = sum(map(self._counts, self._trials()))
        return counted < self._tune.trials and time.monotonic() < self._deadline

    def _counts(self, trial: FrozenTrial) -> bool:
        if trial.state.name == "FAIL":
            known = trial.user_attrs
            return known.get("session") == self._session and known.get("outcome") == "failed"
        return trial.state.name != "WAITING"

    def _foreign(self) -> list[FrozenTrial]:
        return [
            trial
            for trial in self._trials()
            if trial.state.name == "RUNNING" and trial.number not in self._mine
        ]

    def _recover(self) -> None:
        for trial in self._watch.dead(self._foreign()):
            close_lost(self._study, trial, "its process is gone", self._session)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trial(self, number: int) -> FrozenTrial:
        return self._trials()[number]


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)

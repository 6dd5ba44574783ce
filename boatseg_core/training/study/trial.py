"""One trial: a short training that reports to the study and may be ended early."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from boatseg_core.config.sections import Train
from boatseg_core.errors import BoatsegError
from boatseg_core.training.fit import resolve
from boatseg_core.training.result import Entry, OnEpoch
from boatseg_core.training.study.process import this_process

if TYPE_CHECKING:
    import optuna

    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset

log = logging.getLogger(__name__)


class Trainer(Protocol):
    """What trains a trial: :func:`boatseg_core.training.fit.fit`, or what a test puts there."""

    def __call__(
        self,
        gold: GoldDataset,
        settings: Settings,
        chosen: Train,
        *,
        work: Path,
        on_epoch: OnEpoch | None,
        progress: bool,
        callbacks: Any,
    ) -> Any:
        """Train, calling ``on_epoch`` and then the callbacks at every validation."""


@dataclass(frozen=True)
class Task:
    """A trial to run.

    Attributes:
        number: Of the trial within its study.
        trial_id: Of the trial within its storage.
        params: Fields of ``settings.train`` to override.
        seconds: From now on; later the trial ends at its next step.
    """

    number: int
    trial_id: int
    params: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Workshop:
    """What all trials of a study have in common; goes to worker processes as it is.

    Attributes:
        settings: Settings in force.
        base: ``settings.train`` with the length of a trial.
        study_name: Study in the storage of the settings.
        gold_version: Delta version of the data.
        work: Folder for checkpoints.
        train: Trains a trial.
    """

    settings: Settings
    base: Train
    study_name: str
    gold_version: int
    work: Path
    train: Trainer


class Heart:
    """Signs of life of a trial, for those who cannot see its process.

    Args:
        trial: Gets the attribute ``beat``, which grows.
        stale_seconds: Silence that counts as death.
        parent: Process without which the trial is of no use; if it is gone, so is this one.
    """

    def __init__(self, trial: optuna.Trial, stale_seconds: float, parent: int | None) -> None:
        self._trial, self._parent = trial, parent
        self._every = stale_seconds / 6
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

        beats, due = 0, time.monotonic() + self._every
        while not self._end.wait(min(1.0, self._every)):
            if self._parent is not None and os.getppid() != self._parent:
                os._exit(1)  # killed: nobody is left to tell
            if time.monotonic() < due:
                continue
            beats, due = beats + 1, time.monotonic() + self._every
            try:
                self._trial.set_user_attr("beat", beats)
            except UpdateFinishedTrialError:
                return  # taken for dead; the training learns it at its next validation
            except StorageInternalError as error:
                log.warning("trial %d: no sign of life left: %s", self._trial.number, error)


def run_trial(
    task: Task,
    shop: Workshop,
    study: optuna.Study,
    gold: GoldDataset,
    *,
    on_epoch: Callable[[int, Entry], None],
    threads: int = 0,
    parent: int | None = None,
) -> None:
    """Run one trial and tell the study how it went, with the reason where it did not go well.

    Whatever its parameters lead to fails the trial and nothing else.

    Args:
        task: Which trial.
        shop: What all trials have in common.
        study: The study, opened by this process.
        gold: The data, opened by this process.
        on_epoch: Called with the trial's number and each validation.
        threads: That decode images; 0 leaves ``train.threads``.
        parent: Process number of the parent, for a worker.
    """
    import optuna
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    from boatseg_core.training.study.pruning import Pruning, Stopped

    started = time.monotonic()
    history: list[Entry] = []
    trial = optuna.trial.Trial(study, task.trial_id)
    folder = shop.work / f"{shop.study_name}-trial-{task.number}"

    def seen(entry: Entry) -> None:
        history.append(entry)
        on_epoch(task.number, entry)

    state, reason, steps = TrialState.COMPLETE, "", 0
    try:
        trial.set_user_attr("process", this_process())
        with Heart(trial, shop.settings.tune.stale_seconds, parent):
            try:
                share = {"threads": threads} if threads else {}
                chosen = resolve(shop.settings, {**shop.base.model_dump(), **task.params, **share})
                ending = Pruning(
                    trial, last_step=chosen.max_steps, until=started + max(0.0, task.seconds)
                )
                shop.train(
                    gold,
                    shop.settings,
                    chosen,
                    work=folder,
                    on_epoch=seen,
                    progress=False,
                    callbacks=[ending],
                )
            except Stopped as stop:
                state, reason, steps = TrialState.PRUNED, str(stop), stop.step
            except UpdateFinishedTrialError:
                raise
            except Exception as error:  # the combinations of a space fail in ways nobody lists
                state, reason = TrialState.FAIL, _sentence(error, task)
        steps = max([steps, *(int(entry["step"]) for entry in history)])
        facts = {"reason": reason, "steps": steps, "seconds": time.monotonic() - started}
        _tell(study, trial, state, facts, history)
    except UpdateFinishedTrialError:
        log.warning("trial %d was taken for dead and goes on elsewhere", task.number)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sentence(error: Exception, task: Task) -> str:
    from boatseg_core.training.memory import ran_out

    if isinstance(error, BoatsegError):
        return str(error)
    first = (str(error).strip().splitlines() or ["no message"])[0]
    if ran_out(error):
        return (
            f"memory ran out with crops of {task.params.get('crop')} px: lower train.batch_size, "
            "tune.workers or the crops of tune.crops"
        )
    log.exception("trial %d failed", task.number)
    return f"{type(error).__name__}: {first}"


def _tell(
    study: optuna.Study,
    trial: optuna.Trial,
    state: optuna.trial.TrialState,
    facts: dict[str, Any],
    history: list[Entry],
) -> None:
    from optuna.trial import TrialState

    from boatseg_core.training.study.pruning import objective

    # The weights a training keeps are the later of the best by score; so is a trial's value.
    kept = max(reversed(history), key=lambda entry: entry["score"], default=None)
    if kept:
        for name in ("boat_iou", "per_image_iou", "floor_per_image_iou"):
            trial.set_user_attr(name, kept[f"valid_{name}"])
        trial.set_user_attr("over_floor", objective(kept))
    outcome = "failed" if state is TrialState.FAIL else ""
    for name, value in {"outcome": outcome, **facts}.items():
        trial.set_user_attr(name, value)
    complete = state is TrialState.COMPLETE and kept is not None
    study.tell(trial, objective(kept) if complete and kept else None, state=state)

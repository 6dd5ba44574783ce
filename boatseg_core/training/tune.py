"""A short Optuna study whose best parameters :func:`boatseg_core.training.fit.train` accepts.

Importing this module is cheap; optuna, torch and lightning come with the first call.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from boatseg_core.config.sections import Train
from boatseg_core.errors import TrainingError
from boatseg_core.training.fit import check_splits, fit, resolve
from boatseg_core.training.result import Entry

if TYPE_CHECKING:
    import optuna

    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset

log = logging.getLogger(__name__)

TrialRow: TypeAlias = dict[str, Any]

# A trial that is only judged at its end cannot be pruned.
_VALIDATIONS = 2
# Enough to tell trials apart; a whole image costs as much as a step.
_VALID_IMAGES = 16
# Trials that run to their end before a median means anything.
_UNPRUNED = 2
_POSITIVE_SHARES = (0.5, 0.9)


@dataclass(frozen=True)
class TuneResult:
    """What a study found.

    Attributes:
        best_params: Fields of ``settings.train`` to override; empty where no trial finished.
        best_value: The score of these, see
            :func:`boatseg_core.metrics.iou.selection_score`; ``nan`` where no trial finished.
        trials: One row a trial of this call: ``number``, ``state`` (``complete``, ``pruned`` or
            ``failed``), ``value``, ``params``, ``boat_iou``, ``per_image_iou``, ``over_floor``
            (per-image IoU minus that of predicting nothing), ``seconds``, ``reason``, ``history``.
        study_name: Study in the journal; a later call with the same space goes on with it.
        seconds: Wall time.
    """

    best_params: dict[str, Any]
    best_value: float
    trials: list[TrialRow]
    study_name: str
    seconds: float


class _Stopped(Exception):
    """Ends a trial from within its training."""


def tune(
    gold: GoldDataset,
    settings: Settings,
    *,
    work: Path,
    on_trial: Callable[[TrialRow], None] | None = None,
    progress: bool = False,
) -> TuneResult:
    """Search architecture, learning rate, loss and share of positive crops.

    The first trial of a new study is ``settings.train`` itself as far as the space has it, so that
    tuning does not end below where it began. Trials are compared by the best
    :func:`~boatseg_core.metrics.iou.selection_score` of their validations; those below the median
    at the same validation are pruned. The budget of ``tune.max_seconds`` is honoured twice: no
    trial starts after it, and a running one ends at its next validation.

    Args:
        gold: A pinned version of the data set.
        settings: ``tune`` bounds the study, ``train`` gives all that is not searched.
        work: Folder for checkpoints; each trial's is deleted.
        on_trial: Called with each trial's row when it has ended.
        progress: Show each trial's progress on standard error.

    Raises:
        TrainingError: A split cannot be used, or every trial failed.
    """
    import optuna

    started = time.monotonic()
    deadline = started + settings.tune.max_seconds
    check_splits(gold, ("train", "valid"))
    base = resolve(
        settings,
        {
            "max_steps": settings.tune.steps,
            "validations": min(_VALIDATIONS, settings.tune.steps),
            "valid_images": min(settings.train.valid_images or _VALID_IMAGES, _VALID_IMAGES),
        },
    )
    with _quiet_optuna():
        study = _open(settings, base, gold.version)
        rows: list[TrialRow] = []
        while len(rows) < settings.tune.trials and (not rows or time.monotonic() < deadline):
            trial = study.ask()
            row = _run(trial, study, gold, settings, base, work, deadline, progress)
            rows.append(row)
            log.info("trial %s %s: %s %s", row["number"], row["state"], row["value"], row["params"])
            if on_trial is not None:
                on_trial(row)
        done = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    if rows and all(row["state"] == "failed" for row in rows) and not done:
        raise TrainingError(f"every trial of the study failed, the last one: {rows[-1]['reason']}")
    if done:
        best = study.best_trial
        params, value = dict(best.params), float(best.value if best.value is not None else math.nan)
    else:
        log.warning(
            "no trial finished within tune.max_seconds = %g s: the settings stay as they are",
            settings.tune.max_seconds,
        )
        params, value = {}, math.nan
    return TuneResult(params, value, rows, study.study_name, time.monotonic() - started)


def _run(
    trial: optuna.Trial,
    study: optuna.Study,
    gold: GoldDataset,
    settings: Settings,
    base: Train,
    work: Path,
    deadline: float,
    progress: bool,
) -> TrialRow:
    """Run one trial, tell the study how it went, and say so in a row."""
    from optuna.trial import TrialState

    started = time.monotonic()
    history: list[Entry] = []
    folder = work / f"trial-{trial.number}"
    params = _suggest(trial, settings)
    state, reason = TrialState.COMPLETE, ""

    def on_epoch(entry: Entry) -> None:
        history.append(entry)
        trial.report(entry["score"], int(entry["epoch"]))
        if entry["step"] < base.max_steps:
            if trial.should_prune():
                raise _Stopped("below the median")
            if time.monotonic() > deadline:
                raise _Stopped("tune.max_seconds is used up")

    try:
        chosen = resolve(settings, {**base.model_dump(), **params})
        fit(gold, settings, chosen, work=folder, on_epoch=on_epoch, progress=progress)
    except _Stopped as stop:
        state, reason = TrialState.PRUNED, str(stop)
    except TrainingError as error:
        state, reason = TrialState.FAIL, str(error)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    best = max(history, key=lambda entry: entry["score"], default=None)
    value = best["score"] if best else math.nan
    if state is TrialState.COMPLETE:
        study.tell(trial, value)
    else:
        study.tell(trial, state=state)
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    return {
        "number": trial.number,
        "state": names[state.name],
        "value": value,
        "params": params,
        "boat_iou": best["valid_boat_iou"] if best else math.nan,
        "per_image_iou": best["valid_per_image_iou"] if best else math.nan,
        "over_floor": (
            best["valid_per_image_iou"] - best["valid_floor_per_image_iou"] if best else math.nan
        ),
        "seconds": time.monotonic() - started,
        "reason": reason,
        "history": history,
    }


def _suggest(trial: optuna.Trial, settings: Settings) -> dict[str, Any]:
    space = settings.tune
    return {
        "architecture": trial.suggest_categorical("architecture", list(space.architectures)),
        "learning_rate": trial.suggest_float(
            "learning_rate", space.learning_rate_low, space.learning_rate_high, log=True
        ),
        "loss": trial.suggest_categorical("loss", _losses()),
        "positive_share": trial.suggest_float("positive_share", *_POSITIVE_SHARES),
    }


def _open(settings: Settings, base: Train, gold_version: int) -> optuna.Study:
    """Open or go on with the study of this very question."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    space = settings.tune
    if space.learning_rate_low > space.learning_rate_high:
        raise TrainingError(
            f"tune.learning_rate_low ({space.learning_rate_low:g}) is above "
            f"tune.learning_rate_high ({space.learning_rate_high:g})"
        )
    searched = {"architecture", "learning_rate", "loss", "positive_share", "threads"}
    question = {
        "space": space.model_dump(mode="json", exclude={"trials", "max_seconds"}),
        "losses": _losses(),
        "train": base.model_dump(mode="json", exclude=searched),
    }
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:8]
    name = f"{settings.registry.model_name}-gold{gold_version}-{digest}"
    journal = settings.paths.optuna_journal
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
    existing = [s for s in optuna.get_all_study_names(storage) if s == name]
    before = (
        len(optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False))
        if existing
        else 0
    )
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        # A study that goes on must not draw its first trials once more.
        sampler=optuna.samplers.TPESampler(
            seed=base.seed + before, n_startup_trials=max(2, space.trials // 2)
        ),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED),
    )
    if not before:
        study.enqueue_trial(_start(base, settings))
    return study


def _start(base: Train, settings: Settings) -> dict[str, Any]:
    """The settings in force, moved into the space where they lie outside."""
    space = settings.tune
    low, high = space.learning_rate_low, space.learning_rate_high
    start: dict[str, Any] = {
        "learning_rate": min(max(base.learning_rate, low), high),
        "loss": base.loss,
        "positive_share": min(max(base.positive_share, _POSITIVE_SHARES[0]), _POSITIVE_SHARES[1]),
    }
    if base.architecture in space.architectures:
        start["architecture"] = base.architecture
    return start


def _losses() -> list[str]:
    return list(get_args(Train.model_fields["loss"].annotation))


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)

"""Studies whose trainings say what recorded ones said."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _trials import Curve

from boatseg_core.config import Settings
from boatseg_core.training.study.trial import Task, Workshop, run_trial

PRUNERS = ("none", "median", "hyperband")


@dataclass
class Replayed:
    """A study.

    Attributes:
        starts: Steps spent before each trial.
        path: Steps spent and the best value of a complete trial, whenever that rose.
        ends: Of each trial, by its number among the curves: validations it lived to see.
        steps: Steps of all trials.
        cpu: Processor time of all trials as recorded, in seconds.
        best: Best value of a complete trial.
    """

    starts: list[int] = field(default_factory=list)
    path: list[tuple[int, float]] = field(default_factory=lambda: [(0, 0.0)])
    ends: dict[int, int] = field(default_factory=dict)
    steps: int = 0
    cpu: float = 0.0
    best: float = 0.0

    def started(self, budget: int) -> int:
        """Trials that had started when so many steps were spent."""
        return bisect_right(self.starts, budget - 1)


def best_at(run: Replayed, spent: int) -> float:
    """Best value at so many steps; 0, which is predicting nothing, before there was one."""
    return run.path[bisect_right(run.path, (spent, float("inf"))) - 1][1]


def mean_path(runs: list[Replayed], whole: int) -> list[float]:
    """Mean of the best value after 0, 1, 2 ... steps."""
    rises = [0.0] * (whole + 1)
    for run in runs:
        for (_, before), (step, value) in zip(run.path, run.path[1:], strict=False):
            rises[step] += (value - before) / len(runs)
    total, path = 0.0, []
    for rise in rises:
        total += rise
        path.append(total)
    return path


def replay(curves: list[Curve], settings: Settings, pruner: str, seed: int) -> Replayed:
    """Run the trials in an order of their own through a study with a pruner.

    Args:
        curves: Trials that ran to their end.
        settings: Theirs.
        pruner: ``none``, ``median`` or ``hyperband``.
        seed: Of the order; the same for every pruner.
    """
    import optuna

    from boatseg_core.training.study import opening
    from boatseg_core.training.study.space import trial_settings

    tune = settings.tune.model_copy(update={"pruner": pruner, "trials": len(curves)})
    settings = settings.model_copy(update={"tune": tune})
    base = trial_settings(settings)
    study = optuna.create_study(
        study_name=f"order-{seed}",  # Hyperband deals trials to its brackets by this name
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(),
        pruner=opening.pruner(settings, base),
    )
    order = list(range(len(curves)))
    random.Random(seed).shuffle(order)
    run = Replayed()
    for number in order:
        entries = curves[number]["entries"]

        def train(
            *_: Any, on_epoch: Any, callbacks: Any, entries: Any = entries, **__: Any
        ) -> None:
            for entry in entries:
                on_epoch(entry)
                for callback in callbacks:
                    callback.judged(entry)

        seen: list[Any] = []
        trial = study.ask()
        shop = Workshop(settings, base, study.study_name, 0, Path("unused"), train)
        task = Task(trial.number, trial._trial_id, curves[number]["params"], float("inf"))
        run.starts.append(run.steps)
        run_trial(task, shop, study, None, on_epoch=lambda _, entry: seen.append(entry))  # type: ignore[arg-type]  # noqa: B023
        run.ends[number] = len(seen)
        run.steps += int(seen[-1]["step"])
        run.cpu += seen[-1]["cpu"]
        value = study.trials[-1].value
        if value is not None and value > run.best:
            run.best = value
            run.path.append((run.steps, value))
    return run

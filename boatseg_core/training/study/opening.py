"""Open a study: the one of this very question, new or gone on with. Needs optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boatseg_core.errors import TrainingError
from boatseg_core.training.study.space import digest, start
from boatseg_core.training.study.storage import open_storage, public, storage_errors

if TYPE_CHECKING:
    import optuna

    from boatseg_core.config import Settings
    from boatseg_core.config.sections import Train

_QUESTION = "question"
# Random trials before the sampler has a model, and unpruned ones before a median means anything.
_MOST_STARTUP, _MOST_UNPRUNED = 10, 5


def create(settings: Settings, base: Train, gold_version: int) -> optuna.Study:
    """Open the study to ask it for trials.

    Its first trial is ``settings.train`` itself as far as the space has it, so that tuning does not
    end below where it began.

    Raises:
        TrainingError: The storage cannot be used, or ``tune.study`` names one that asks something
            else.
    """
    import optuna

    question = digest(settings, base, gold_version)
    name = settings.tune.study or (f"{settings.registry.model_name}-gold{gold_version}-{question}")
    storage = open_storage(settings)
    with storage_errors(settings):
        study = optuna.create_study(
            study_name=name, storage=storage, direction="maximize", load_if_exists=True
        )
        asked = study.user_attrs.get(_QUESTION)
        if asked is None:
            study.set_user_attr(_QUESTION, question)
        elif asked != question:
            raise TrainingError(
                f"the study {name} in {public(settings)} was made with other data, another space "
                "or other settings, so its trials cannot be compared: choose another tune.study"
            )
        before = len(study.get_trials(deepcopy=False))
        # A study that goes on must not draw its first trials once more.
        study.sampler = optuna.samplers.TPESampler(
            seed=base.seed + before,
            n_startup_trials=min(_MOST_STARTUP, max(2, settings.tune.trials // 2)),
            constant_liar=True,  # what is running elsewhere is not asked again
        )
        study.pruner = pruner(settings, base)
        if not before:
            study.enqueue_trial(start(base, settings), skip_if_exists=True)
    return study


def join(settings: Settings, base: Train, name: str) -> optuna.Study:
    """Open the study to report to it."""
    import optuna

    storage = open_storage(settings)
    with storage_errors(settings):
        return optuna.load_study(
            study_name=name,
            storage=storage,
            sampler=optuna.samplers.RandomSampler(),  # never asked
            pruner=pruner(settings, base),
        )


def pruner(settings: Settings, base: Train) -> optuna.pruners.BasePruner:
    """Make the pruner that the settings name; a trial's resource is its validations."""
    import optuna

    if settings.tune.pruner == "none":
        return optuna.pruners.NopPruner()
    if settings.tune.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=1, max_resource=base.validations, reduction_factor=2
        )
    return optuna.pruners.MedianPruner(
        n_startup_trials=min(_MOST_UNPRUNED, max(2, settings.tune.trials // 4)),
        # While the learning rate still rises, a fifth of a training, a value says little: at equal
        # compute, judging from the first of six validations on found less than not pruning at all
        # (benchmarks/tuning.py). Validations count from 1, and those below this are not judged.
        n_warmup_steps=base.validations // 4 + 1,
    )

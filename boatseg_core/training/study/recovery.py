"""Trials whose process is gone: found, closed, and asked again.

On this machine a process can be seen to be gone. Elsewhere the trial's signs of life
(:class:`boatseg_core.training.study.trial.Heart`) are watched: no clocks are compared, the watcher
only asks whether anything has changed for too long by its own. So it is with every storage: Optuna
has a heartbeat for databases only.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from boatseg_core.training.study.process import is_gone

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

MAX_RETRIES = 2


class Watch:
    """Watches the running trials of a study, whoever runs them.

    Args:
        stale_seconds: Silence that counts as death where the process cannot be seen.
    """

    def __init__(self, stale_seconds: float) -> None:
        self._stale = stale_seconds
        self._seen: dict[int, tuple[object, float]] = {}

    def dead(self, running: list[FrozenTrial]) -> list[FrozenTrial]:
        """Pick the trials that nobody runs any more."""
        now, dead = time.monotonic(), []
        for trial in running:
            gone = is_gone(str(trial.user_attrs.get("process", "")))
            sign = (trial.user_attrs.get("beat"), trial.last_step)
            before, since = self._seen.get(trial.number, (None, now))
            if before != sign:
                self._seen[trial.number] = (sign, now)
                since = now
            if gone or (gone is None and now - since > self._stale):
                dead.append(trial)
        return dead


def close_lost(study: optuna.Study, trial: FrozenTrial, reason: str, session: str) -> bool:
    """Close a trial that nobody runs and put its parameters back into the queue.

    After :data:`MAX_RETRIES` repetitions it counts as failed: what kills every process that tries
    it, such as want of memory, must not go round for ever.

    Args:
        study: The study.
        trial: One of its running trials.
        reason: A sentence.
        session: Call of ``tune`` that a failure counts for.

    Returns:
        False where the trial had ended after all, or another process was faster.
    """
    import optuna
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    retries = int(trial.user_attrs.get("retries", 0))
    again = retries < MAX_RETRIES
    number = trial._trial_id
    try:
        live = optuna.trial.Trial(study, number)
        live.set_user_attr("outcome", "lost" if again else "failed")
        live.set_user_attr("reason", reason)
        live.set_user_attr("session", session)
        # Unlike study.tell this tells the one who closed it from those who came too late.
        live.storage.set_trial_state_values(number, state=TrialState.FAIL)
    except UpdateFinishedTrialError:
        return False
    log.warning("trial %d: %s", trial.number, reason)
    # Killed between being queued and being drawn it has no parameters but those of the queue.
    params = trial.params or trial.system_attrs.get("fixed_params")
    if again and params:
        study.enqueue_trial(
            dict(params), user_attrs={"retry_of": trial.number, "retries": retries + 1}
        )
    return True

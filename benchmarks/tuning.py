"""Does pruning pay? The same trials, the same budget, with and without ending the poor ones early.

One set of trials is drawn at random from the space that ``boatseg tune`` searches and each is
trained to its end on drawn scenes, once; its validations and the processor time up to each are
kept. These curves are then *replayed*: for each of many orders of the same trials, and each of the
pruners ``none``, ``median`` and ``hyperband``, a study is run by the code that runs trials (the
study, the pruner and the callback that ends a training are the real ones), whose training says at
each validation what the recorded one said. A replayed study thus differs in nothing but its pruner.
Orders of one set of trials are not independent samples of all sets: they tell how the pruners
compare on these trials, whatever order the sampler asks them in.

- ``at_budget``: mean over the orders of the best value found when so many steps are spent as half
  of all trials take without pruning, and how many trials were looked at by then;
- ``all_trials``: the whole set: steps and processor time beside those without pruning, in how many
  orders the winner is the one found without, and how much its value is lower on average;
- ``steps_to_equal``: steps until the mean best value is that of no pruning at its budget, as a
  share of that budget.

``live`` runs ``tune`` itself, twice with the same seed, without pruning and with the median, on
trainings that are not recorded: TPE asks, so that after its random beginning the trials differ.

Value is what the study maximises: per-image IoU above that of predicting nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import arguments, report, say
from _trials import Curve, make_gold, record, settings_of
from _tuning_plot import draw
from _tuning_replay import PRUNERS, Replayed, best_at, mean_path, replay

from boatseg_core.dataset import GoldDataset

TRIALS, QUICK_TRIALS = 32, 6
ORDERS, QUICK_ORDERS = 100, 10
LIVE = 12


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--trials", type=int, default=0, help=f"recorded, instead of {TRIALS}")
    parser.add_argument("--live", type=int, default=-1, help=f"trials of a live study ({LIVE})")
    parser.add_argument("--data", type=Path, help="folder for scenes and curves, made once")
    parser.add_argument("--picture", type=Path, help="draw the comparison to this PNG")
    options = parser.parse_args()
    name = "boatseg-tuning-quick" if options.quick else "boatseg-tuning"
    home = options.data or Path(tempfile.gettempdir()) / name
    home.mkdir(parents=True, exist_ok=True)
    gold = make_gold(home, quick=options.quick)
    count = options.trials or (QUICK_TRIALS if options.quick else TRIALS)
    say(f"{count} trials trained to their end, load {os.getloadavg()[0]:.1f}")
    curves = record(gold, home, count, quick=options.quick)
    orders = QUICK_ORDERS if options.quick else ORDERS
    settings = settings_of(home, quick=options.quick)
    played = {
        pruner: [replay(curves, settings, pruner, seed) for seed in range(orders)]
        for pruner in PRUNERS
        if not options.only or pruner in (*options.only, "none")
    }
    result = compare(played, curves)
    live = options.live if options.live >= 0 else (0 if options.quick else LIVE)
    if live:
        result["live"] = {
            pruner: run_live(gold, home, pruner, live, quick=options.quick)
            for pruner in ("none", "median")
        }
    if options.picture:
        options.picture.write_bytes(draw(played, curves))
        say(f"drawn: {options.picture}")
    result["load"] = round(os.getloadavg()[0], 1)
    report(result, as_json=options.json)


def compare(played: dict[str, list[Replayed]], curves: list[Curve]) -> dict[str, Any]:
    """Put the replays into figures."""
    full = int(curves[0]["entries"][-1]["step"])
    whole = full * len(curves)
    budget = whole // 2
    reference = mean_path(played["none"], whole)[budget]
    found: dict[str, Any] = {
        "name": "tuning",
        "unit": "per-image IoU above predicting nothing",
        "trials": len(curves),
        "steps_a_trial": full,
        "orders": len(played["none"]),
        "cpu_s_a_trial": round(statistics.mean(c["entries"][-1]["cpu"] for c in curves), 1),
        "budget_steps": budget,
        "at_budget": {},
        "all_trials": {},
        "steps_to_equal": {},
    }
    best = max(run.best for run in played["none"])
    for pruner, runs in played.items():
        path = mean_path(runs, whole)
        reached = next((step for step, value in enumerate(path) if value >= reference), None)
        found["at_budget"][pruner] = {
            "best_value": round(path[budget], 4),
            "trials": round(statistics.mean(run.started(budget) for run in runs), 1),
            "found_the_best_of_all": _share(best_at(run, budget) >= best for run in runs),
        }
        found["all_trials"][pruner] = {
            "steps": round(statistics.mean(run.steps for run in runs) / whole, 3),
            "cpu": round(
                statistics.mean(run.cpu for run in runs)
                / statistics.mean(run.cpu for run in played["none"]),
                3,
            ),
            "same_winner": _share(run.best >= best for run in runs),
            "value_lost": round(best - statistics.mean(run.best for run in runs), 4),
        }
        found["steps_to_equal"][pruner] = reached and round(reached / budget, 3)
    return found


def run_live(
    gold: GoldDataset, home: Path, pruner: str, trials: int, *, quick: bool
) -> dict[str, Any]:
    """Run a study for real, in this process."""
    from boatseg_core.training.tune import tune

    settings = settings_of(
        home,
        quick=quick,
        pruner=pruner,
        trials=trials,
        max_seconds=36_000.0,
        study=f"live-{pruner}-{trials}-{time.time_ns()}",
    )
    before = time.process_time()
    result = tune(gold, settings, work=home / "work")
    states = [row["state"] for row in result.trials]
    return {
        "best_value": round(result.best_value, 4),
        "steps": result.steps,
        "cpu_s": round(time.process_time() - before),
        "pruned": states.count("pruned"),
        "trials": len(states),
        "winner": json.dumps(result.best_params),
    }


def _share(truths: Any) -> float:
    return round(statistics.mean(map(float, truths)), 3)


if __name__ == "__main__":
    main()

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

``live`` runs ``tune`` itself in this process, in pairs with the same seed, on trainings that are
not recorded: first so many trials without pruning, then with the median as many as their steps
pay for. TPE asks, so that after its random beginning the trials differ. The budget is in steps,
which other work on the machine does not change. ``steps_to_equal`` is what the median spent until
its best value was the one found without pruning, as a share of what that took; None where it found
less. ``--only-live`` records and replays nothing.

Value is what the study maximises: per-image IoU above that of predicting nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from _common import arguments, report, say
from _trials import Curve, make_gold, record, settings_of
from _tuning_plot import draw, draw_live
from _tuning_replay import PRUNERS, Replayed, best_at, mean_path, replay

from boatseg_core.dataset import GoldDataset
from boatseg_core.training.study.board import told

TRIALS, QUICK_TRIALS = 32, 6
ORDERS, QUICK_ORDERS = 100, 10
LIVE, QUICK_LIVE = 16, 3
PAIRS = 4


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--trials", type=int, default=0, help=f"recorded, instead of {TRIALS}")
    parser.add_argument(
        "--live", type=int, default=-1, help=f"trials of the live pair without pruning ({LIVE})"
    )
    parser.add_argument(
        "--pairs", type=int, default=0, help=f"live pairs, each of another seed ({PAIRS})"
    )
    parser.add_argument("--live-picture", type=Path, help="draw the live pairs to this PNG")
    parser.add_argument("--only-live", action="store_true", help="record and replay nothing")
    parser.add_argument("--data", type=Path, help="folder for scenes and curves, made once")
    parser.add_argument("--picture", type=Path, help="draw the comparison to this PNG")
    options = parser.parse_args()
    name = "boatseg-tuning-quick" if options.quick else "boatseg-tuning"
    home = options.data or Path(tempfile.gettempdir()) / name
    home.mkdir(parents=True, exist_ok=True)
    gold = make_gold(home, quick=options.quick)
    live = options.live if options.live >= 0 else (QUICK_LIVE if options.quick else LIVE)
    say(f"load {os.getloadavg()[0]:.1f}")
    result: dict[str, Any] = {"name": "tuning", "unit": "per-image IoU above predicting nothing"}
    played: dict[str, list[Replayed]] = {}
    curves: list[Curve] = []
    if not options.only_live:
        played, curves = play(gold, home, options)
        result |= compare(played, curves)
    if live:
        pairs = options.pairs or (1 if options.quick else PAIRS)
        result["live"] = [
            run_pair(gold, home, live, seed, quick=options.quick) for seed in range(pairs)
        ]
        if options.live_picture:
            options.live_picture.write_bytes(draw_live(result["live"]))
            say(f"drawn: {options.live_picture}")
    if options.picture and played:
        options.picture.write_bytes(draw(played, curves))
        say(f"drawn: {options.picture}")
    result["load"] = round(os.getloadavg()[0], 1)
    report(result, as_json=options.json)


def play(
    gold: GoldDataset, home: Path, options: Namespace
) -> tuple[dict[str, list[Replayed]], list[Curve]]:
    """Record trials and replay them with each pruner."""
    count = options.trials or (QUICK_TRIALS if options.quick else TRIALS)
    say(f"{count} trials trained to their end")
    curves = record(gold, home, count, quick=options.quick)
    orders = QUICK_ORDERS if options.quick else ORDERS
    settings = settings_of(home, quick=options.quick)
    played = {
        pruner: [replay(curves, settings, pruner, seed) for seed in range(orders)]
        for pruner in PRUNERS
        if not options.only or pruner in (*options.only, "none")
    }
    return played, curves


def compare(played: dict[str, list[Replayed]], curves: list[Curve]) -> dict[str, Any]:
    """Put the replays into figures."""
    full = int(curves[0]["entries"][-1]["step"])
    whole = full * len(curves)
    budget = whole // 2
    reference = mean_path(played["none"], whole)[budget]
    found: dict[str, Any] = {
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


def run_pair(
    gold: GoldDataset, home: Path, trials: int, seed: int, *, quick: bool
) -> dict[str, Any]:
    """Run a study without pruning, and one with the median on the same budget of steps."""
    plain = run_live(gold, home, "none", trials, 0, seed, quick=quick)
    pruned = run_live(gold, home, "median", trials, plain["steps"], seed, quick=quick)
    equal = next((at for at, best in pruned["path"] if best >= plain["best_value"]), None)
    share = equal and round(equal / plain["path"][-1][0], 3)
    pair = {"seed": seed, "steps_to_equal": share, "none": plain, "median": pruned}
    say(json.dumps(pair))
    return pair


def run_live(
    gold: GoldDataset, home: Path, pruner: str, trials: int, budget: int, seed: int, *, quick: bool
) -> dict[str, Any]:
    """Run a study for real, with more trials than asked for while the budget has steps for them."""
    from boatseg_core.training.tune import tune

    study, before = f"live-{pruner}-{seed}-{time.time_ns()}", time.process_time()
    while True:
        settings = settings_of(
            home, quick=quick, pruner=pruner, trials=trials, max_seconds=36_000.0, study=study
        )
        settings = settings.model_copy(
            update={"train": settings.train.model_copy(update={"seed": seed})}
        )
        result = tune(gold, settings, work=home / "work")
        left = budget - result.steps
        if left < settings.tune.steps:
            break
        trials += left // settings.tune.steps
    spent, best, path = 0, 0.0, [(0, 0.0)]
    for row in result.trials:
        spent += row["steps"]
        say(f"  {pruner} {row['state']} {row['value']:+.3f} after {spent} ({told(row['params'])})")
        if row["state"] == "complete" and row["value"] > best:
            best = row["value"]
            path.append((spent, round(best, 4)))
    states = [row["state"] for row in result.trials]
    return {
        "best_value": round(result.best_value, 4),
        "path": path,
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

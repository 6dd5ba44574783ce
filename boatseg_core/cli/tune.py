"""``boatseg tune``: a study of hyperparameters, watched while it runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import (
    current_settings,
    filled_lake,
    gold_version_option,
    home_option,
    json_option,
    output_option,
)

if TYPE_CHECKING:
    from boatseg_core.training.tune import TuneResult


@click.command()
@click.option(
    "--trials", type=click.IntRange(1), metavar="N", help="Trials of the study (tune.trials)."
)
@click.option(
    "--seconds",
    "max_seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="No trial starts after this (tune.max_seconds).",
)
@click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="Trials at the same time (tune.workers)."
)
@click.option(
    "--steps", type=click.IntRange(1), metavar="N", help="Length of a trial (tune.steps)."
)
@click.option(
    "--pruner",
    type=click.Choice(["median", "hyperband", "none"]),
    help="Which trials end early (tune.pruner).",
)
@click.option("--study", metavar="NAME", help="Go on with, or begin, this study (tune.study).")
@click.option(
    "--storage", metavar="URL", help="Database of the studies instead of the home (tune.storage)."
)
@gold_version_option
@output_option("Folder of the pictures; by default below reports in the home.", folder=True)
@json_option
@home_option
def tune(gold_version: int | None, output: Path | None, as_json: bool, **asked: Any) -> None:
    """Search hyperparameters on gold, and keep the best for the next training.

    Run again, it goes on with the same study: its trials count. Ctrl-C ends the workers; what they
    were at is tried again next time.
    """
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.training.run import tune_and_keep

    settings = current_settings(tune={name: v for name, v in asked.items() if v is not None})
    gold = GoldDataset(filled_lake(settings), gold_version)
    result = tune_and_keep(gold, settings)
    folder = output or settings.paths.reports / f"study-{_slug(result.study_name)}"
    files = _write(result, folder)
    if as_json:
        click.echo(json.dumps(_facts(result, files), indent=1, allow_nan=False))
        return
    _print(result)
    for name, file in files.items():
        screen.say_pair(name.replace("_", " "), str(file))


def _write(result: TuneResult, folder: Path) -> dict[str, Path]:
    files = {}
    for name, png in result.plots.items():
        folder.mkdir(parents=True, exist_ok=True)
        files[name] = folder / f"{name}.png"
        files[name].write_bytes(png)
    return files


def _print(result: TuneResult) -> None:
    from boatseg_core.training.study.board import told

    screen.print_table(
        ["trial", "state", "over nothing", "boat IoU", "steps", "seconds", "parameters"],
        (
            [
                row["number"],
                row["state"],
                _number(row["value"]),
                _number(row["boat_iou"]),
                row["steps"],
                round(row["seconds"]) if math.isfinite(row["seconds"]) else None,
                told(row["params"]) + (f" ({row['reason']})" if row["reason"] else ""),
            ]
            for row in result.trials
        ),
        title=f"study {result.study_name}",
        right=("trial", "over nothing", "boat IoU", "steps", "seconds"),
        fold=("parameters",),
    )
    if result.beats_nothing:
        screen.say_pair("kept", f"{told(result.best_params)}, for the next training")
        screen.say_pair("value", f"{result.best_value:+.4f} IoU over predicting nothing")
    elif result.best_params:
        screen.say("nothing kept: no trial did better than predicting nothing; raise tune.steps")
    else:
        screen.say("nothing kept: no trial finished; raise tune.max_seconds")


def _facts(result: TuneResult, files: dict[str, Path]) -> dict[str, Any]:
    return {
        "study": result.study_name,
        "best_params": result.best_params,
        "best_value": _number(result.best_value),
        "kept": result.beats_nothing,
        "seconds": result.seconds,
        "steps": result.steps,
        "trials": [
            {n: _number(v) if isinstance(v, float) else v for n, v in row.items()}
            for row in result.trials
        ],
        "plots": {name: str(file) for name, file in files.items()},
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)

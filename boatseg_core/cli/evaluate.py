"""``boatseg evaluate``: how good a model is, with intervals and the floor beside every number."""

from __future__ import annotations

import json
import re
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
    from boatseg_core.config import Settings


@click.command()
@click.argument("model", default="production", metavar="[MODEL]")
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test", "excluded"]),
    default="test",
    show_default=True,
    help="Images to evaluate on.",
)
@gold_version_option
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Most images, chosen by --seed; 0 means all.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the intervals.",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Resamples of the bootstrap over groups of images.",
)
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap and of --limit.")
@output_option("Folder of the report; by default below reports in the home.", folder=True)
@json_option
@home_option
def evaluate(
    model: str,
    split: str,
    gold_version: int | None,
    limit: int,
    confidence: float,
    draws: int,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Evaluate MODEL (an alias, a version or a model folder) on a split of gold.

    Prints each number with its confidence interval and what a model that predicts nothing scores on
    the same images, and writes a page with curves and pictures, its figure, and JSON.
    """
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.inference.options import predictor_options
    from boatseg_core.inference.predictor import Predictor
    from boatseg_core.training.evaluate import evaluate as run
    from boatseg_core.training.report import write_report

    settings = current_settings()
    name, folder = _find(settings, model)
    gold = GoldDataset(filled_lake(settings), gold_version)
    predictor = Predictor.load(folder, **predictor_options(settings))
    with screen.progress() as bar:
        task = bar.add_task(f"{name}, {split} split", total=None)
        evaluation = run(
            predictor,
            gold,
            split,
            limit=limit,
            threads=settings.decode.threads,
            draws=draws,
            confidence=confidence,
            seed=seed,
            on_image=lambda done, total: bar.update(task, completed=done, total=total),
        )
    heading = f"{name} on the {split} split of gold version {gold.version}"
    where = f"evaluation-{slug(name)}-{split}-gold-{gold.version}"
    files = write_report(evaluation, output or settings.paths.reports / where, heading=heading)
    if as_json:
        report = {"page": str(files.page), "figure": str(files.figure)}
        click.echo(json.dumps({"name": name, "report": report, **evaluation.facts}, indent=1))
        return
    print_facts(evaluation.facts, heading)
    screen.say_pair("report", str(files.page))
    screen.say_pair("numbers", str(files.facts))


def _find(settings: Settings, model: str) -> tuple[str, Path]:
    """Name and folder of a model: a folder where there is one, else a version of the registry."""
    from boatseg_core.inference.spec import SPEC_FILE
    from boatseg_core.registry.lookup import resolve

    folder = Path(model)
    if (folder / SPEC_FILE).is_file() or "/" in model:
        return folder.resolve().name, folder
    ref = resolve(settings, model)
    return f"{ref.name} version {ref.version}", ref.folder


def slug(name: str) -> str:
    """Write a name so that it can be part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"


def print_facts(facts: dict[str, Any], heading: str) -> None:
    """Print the headlines, the sizes and the calibration of an evaluation."""
    from boatseg_core.training.report import headline_row, number, summary, warnings

    noun = facts["model"]["class_name"]
    screen.say(heading, "bold")
    for line in summary(facts):
        screen.say(line, "dim")
    for line in warnings(facts):
        screen.say(line, "yellow")
    screen.say("")
    interval = f"{facts['method']['confidence']:.0%} interval"
    headings = ("", "value", interval, "predicting nothing", "gain", "groups")
    screen.print_table(
        headings,
        [headline_row(name, one, noun) for name, one in facts["headlines"].items()],
        right=headings[1:],
    )
    screen.say("")
    screen.print_table(
        (f"{noun}s by size", f"{noun}s", "touched", "IoU over 0.5", "mean IoU"),
        [
            (
                f"{row['from']:,} px and more"
                if row["below"] is None
                else f"{row['from']:,} to {row['below'] - 1:,} px",
                row["objects"],
                number(row["touched"]),
                number(row["recall"]),
                number(row["mean_iou"]),
            )
            for row in facts["sizes"]
        ],
        right=(f"{noun}s", "touched", "IoU over 0.5", "mean IoU"),
    )
    found = facts["calibration"]
    pixels, objects = found["pixels"], found["objects"]
    screen.say("")
    screen.say(
        f"calibration error: pixels {number(pixels['ece'])} "
        f"(of those given more than 1 %: {number(pixels['ece_above_1_percent'])}); scores of "
        f"{noun}s {number(objects['ece'])} (by chance alone {number(objects['ece_by_chance'])}"
        + (
            f", before calibration {number(found['objects_mean_probability']['ece'])})"
            if facts["model"]["score_calibration"]
            else "; they are mean probabilities of pixels, since the model is not calibrated)"
        )
    )

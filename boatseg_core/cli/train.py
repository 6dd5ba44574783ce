"""``boatseg train``: a model of gold, or of a preset's own scenes, up to the registry."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import (
    current_settings,
    filled_lake,
    gold_version_option,
    home_option,
    json_option,
)
from boatseg_core.config.sections.training import Loss
from boatseg_core.errors import InputError

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.lake import Lake
    from boatseg_core.training.presets import Preset
    from boatseg_core.training.run import TrainedModel

_PAIRS = "BOATSEG_REAL_SAMPLE"


@click.command()
@click.option("--preset", metavar="NAME", help="A whole recipe by name, instead of the settings.")
@click.option("--list-presets", is_flag=True, help="List the presets and end.")
@click.option("--architecture", metavar="NAME", help="Of segmentation-models-pytorch.")
@click.option("--encoder", metavar="NAME", help="Of segmentation-models-pytorch.")
@click.option("--steps", "max_steps", type=click.IntRange(1), metavar="N", help="Length.")
@click.option("--crop", type=click.IntRange(32), metavar="PX", help="Side of the training crops.")
@click.option("--batch-size", type=click.IntRange(1), metavar="N", help="Crops in one step.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="Peak of the one-cycle schedule.",
)
@click.option("--loss", type=click.Choice(get_args(Loss)), help="What the training minimises.")
@click.option("--augment", type=click.Choice(["light", "strong"]), help="How far it goes.")
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", help="Of weights, crops, augmentation."
)
@click.option("--no-tuned", is_flag=True, help="Leave the best parameters of the last study out.")
@gold_version_option
@click.option(
    "--evaluate-on",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Then measure it on the pictures in DIR/images with the masks in DIR/masks.csv, which are "
    f"never learnt from. A preset of scenes looks at {_PAIRS} for it.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and on what; then end.")
@json_option
@home_option
def train(
    preset: str | None,
    list_presets: bool,
    no_tuned: bool,
    gold_version: int | None,
    evaluate_on: Path | None,
    dry_run: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Train a model, register it, and let the gate decide whether it goes into production.

    It learns from the newest gold as [train] and the last study say, or from what a preset says;
    options are stronger than all of these. Killed and started again with the same question, it goes
    on from its last checkpoint.
    """
    from boatseg_core.training.presets import PRESETS, find_preset, preset_settings

    if list_presets:
        _list(PRESETS, as_json)
        return
    settings = current_settings()
    chosen = find_preset(preset, PRESETS) if preset else None
    if chosen is not None:
        settings = preset_settings(chosen, settings)
    overrides = {name: value for name, value in asked.items() if value is not None}
    scenes = chosen.scenes if chosen else None
    if scenes is not None:
        if gold_version is not None:
            raise InputError(f"preset {preset} learns from scenes of its own: drop --gold-version")
        if evaluate_on is None and os.environ.get(_PAIRS):
            evaluate_on = Path(os.environ[_PAIRS])
    use_tuned = chosen is None and not no_tuned
    if evaluate_on is not None and not (evaluate_on / "images").is_dir():
        raise InputError(
            f"{evaluate_on / 'images'} is not a folder: name one that holds images/ and masks.csv"
        )
    if dry_run:
        _dry(settings, chosen, gold_version, use_tuned, overrides, as_json)
        return
    if scenes is not None:
        from boatseg_core.training.plan import resolve

        resolve(settings, overrides)  # before a scene is drawn
    if evaluate_on is not None:
        from boatseg_core.cli.train_scenes import pairs_gold

        with pairs_gold(settings, evaluate_on):
            pass  # what cannot be measured on is said now, not after hours of training
    lake, gold = _gold(settings, chosen, gold_version)

    from boatseg_core.training.run import train_and_register

    done = train_and_register(lake, gold, settings, use_tuned=use_tuned, overrides=overrides)
    if not as_json:
        _print(done, settings)
    facts = _facts(done)
    if evaluate_on is not None:
        from boatseg_core.cli.train_pairs import measure

        facts["pairs"] = measure(settings, done.model.version, evaluate_on, quiet=as_json)
    if as_json:
        click.echo(json.dumps(facts, indent=1, allow_nan=False))


def _gold(
    settings: Settings, preset: Preset | None, version: int | None
) -> tuple[Lake, GoldDataset]:
    """The lake that keeps the decisions, and what is learnt from."""
    from boatseg_core.cli.options import open_lake
    from boatseg_core.dataset import GoldDataset

    if preset is None or preset.scenes is None:
        lake = filled_lake(settings)
        return lake, GoldDataset(lake, version)
    from boatseg_core.cli.train_scenes import scenes_gold

    settings.paths.create()
    # Held until the command ends.
    gold = click.get_current_context().with_resource(scenes_gold(settings, preset.scenes))
    return open_lake(settings), gold


def _list(presets: tuple[Preset, ...], as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "name": preset.name,
                "purpose": preset.purpose,
                "train": dict(preset.train),
                "scenes": asdict(preset.scenes) if preset.scenes else None,
            }
            for preset in presets
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    screen.print_table(
        ["preset", "purpose", "learns from", "what it sets"],
        (
            [
                preset.name,
                preset.purpose,
                f"{preset.scenes.count:,} scenes of its own" if preset.scenes else "gold",
                ", ".join(f"{name} {value}" for name, value in preset.train.items()),
            ]
            for preset in presets
        ),
        fold=("purpose", "what it sets"),
    )


def _dry(
    settings: Settings,
    preset: Preset | None,
    version: int | None,
    use_tuned: bool,
    overrides: dict[str, Any],
    as_json: bool,
) -> None:
    """Say what would be trained, from where each value is, and on what."""
    from boatseg_core.training.hyperparameters import load_best
    from boatseg_core.training.plan import check_splits, resolve

    kept = load_best(settings) if use_tuned else None
    tuned = kept.params if kept else {}
    values = resolve(settings, {**tuned, **overrides}).model_dump(mode="json")
    defaults = type(settings.train)().model_dump(mode="json")

    def source(name: str) -> str:
        if name in overrides:
            return "command line"
        if preset is not None and name in preset.train:
            return f"preset {preset.name}"
        if kept is not None and name in tuned:
            return f"study {kept.study}"
        return "default" if values[name] == defaults[name] else "settings"

    if preset is not None and preset.scenes is not None:
        drawn = preset.scenes
        data = {"scenes": drawn.count, "seed": drawn.seed, "empty_share": drawn.empty_share}
    else:
        _, gold = _gold(settings, preset, version)
        check_splits(gold, ("train", "valid", "test"))
        counts = dict(sorted(gold.index()["split"].value_counts().iter_rows()))
        data = {"gold_version": gold.version, **counts}
    if as_json:
        click.echo(json.dumps({"data": data, "train": values}, indent=1))
        return
    screen.print_table(
        ["setting", "value", "from"],
        ([f"train.{name}", str(value), source(name)] for name, value in values.items()),
    )
    screen.say_pair("data", ", ".join(f"{name} {value}" for name, value in data.items()))
    screen.say_pair("model", settings.registry.model_name)


def _print(done: TrainedModel, settings: Settings) -> None:
    from boatseg_core.cli.evaluate import print_facts

    result, decision = done.result, done.promotion
    if result.evaluation is not None:
        noun = f"version {done.model.version} of {done.model.name}"
        print_facts(
            result.evaluation.facts,
            f"{noun} on the test split of gold version {result.gold_version}",
        )
        screen.say("")
    tuned = f", hyperparameters of study {done.tuned_by}" if done.tuned_by else ""
    rows = {
        "trained": f"{result.params['architecture']} on {result.params['encoder']} in "
        f"{result.seconds:,.0f} s, weights of step {result.best_step:,}{tuned}",
        "model": f"{done.model.name} version {done.model.version}, alias {decision.alias}",
        "gate": f"{decision.action}: {decision.reason}",
        "run": f"{done.model.run_id} in {settings.tracking_uri}",
    }
    for name, text in rows.items():
        screen.say_pair(name.ljust(7), text, "yellow" if decision.action == "refused" else "")


def _facts(done: TrainedModel) -> dict[str, Any]:
    import math

    result, decision = done.result, done.promotion
    return {
        "model": done.model.name,
        "version": done.model.version,
        "alias": decision.alias,
        "action": decision.action,
        "reason": decision.reason,
        "run_id": done.model.run_id,
        "gold_version": result.gold_version,
        "seconds": result.seconds,
        "best_step": result.best_step,
        "tuned_by": done.tuned_by,
        "params": result.params,
        "metrics": {n: v if math.isfinite(v) else None for n, v in result.metrics.items()},
    }

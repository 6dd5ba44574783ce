"""``boatseg status``: the state of a home on one screen, for the one who keeps it alive."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import (
    current_settings,
    home_option,
    is_empty,
    json_option,
    nothing_here,
    open_lake,
)
from boatseg_core.errors import BoatsegError, RegistryError

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.lake import Lake

_EXAMPLES = 3


@click.command()
@json_option
@home_option
def status(as_json: bool) -> None:
    """Show what is in the tables, what waits, which model is in force and whether data drifts."""
    settings = current_settings()
    lake = open_lake(settings)
    state = gather(lake, settings)
    if as_json:
        click.echo(json.dumps(state, indent=2, default=str))
        return
    lines = _lines(state, settings.labels.class_name)
    width = max(map(len, lines))
    for name, (text, style) in lines.items():
        screen.say_pair(name.ljust(width), text, style)
    if is_empty(lake):
        screen.note(nothing_here(settings))


def gather(lake: Lake, settings: Settings) -> dict[str, Any]:
    """Collect the state; only logs, narrow columns and the landing folder's listing are read.

    Args:
        lake: The lake, be it empty.
        settings: Settings in force.

    Returns:
        Plain values, as ``boatseg status --json`` prints them.
    """
    model = _model(settings)
    return {
        "home": str(settings.paths.root),
        "lake": lake.root,
        "waiting": _waiting(lake, settings),
        "batches": _batches(lake, settings),
        "images": _images(lake),
        "gold": _gold(lake),
        "model": model,
        "predictions": _predictions(lake, model.get("version")),
        "drift": _drift(lake),
    }


def _waiting(lake: Lake, settings: Settings) -> dict[str, Any]:
    from boatseg_core.ingest.discover import discover
    from boatseg_core.labels.ingest import new_files

    try:
        found, labels = discover(lake, settings), new_files(lake, settings)
    except BoatsegError as error:  # the tables are worth seeing without their sources
        return {"problem": str(error)}
    return {
        "files": found.new.height,
        "unsettled": found.unsettled,
        "label_files": [str(file.path) for file in labels],
    }


def _batches(lake: Lake, settings: Settings) -> dict[str, Any]:
    from boatseg_core.dataset.staleness import outdated_batches
    from boatseg_core.ingest.reconcile import sealed_batches

    sealed = sealed_batches(lake)
    outstanding = outdated_batches(lake, settings) if sealed else {}
    return {
        "sealed": len(sealed),
        "complete": len(sealed) - len(outstanding),
        "outstanding": outstanding,
        "newest": max(sealed, default=None),
    }


def _images(lake: Lake) -> dict[str, Any]:
    import polars as pl

    refused = lake.scan("quarantine").group_by("reason").len().sort("reason").collect()
    quality = lake.scan("image_quality").select(judged=pl.len(), passed=pl.col("passed").sum())
    judged, passed = quality.collect().row(0)
    masks = lake.scan("rasterized_masks").select(
        images=pl.len(), objects=pl.col("boat_count").sum()
    )
    labelled, objects = masks.collect().row(0)
    stored = sum(lake.counts("raw_images").values())
    return {
        "stored": stored,
        "quarantined": dict(refused.iter_rows()),
        "judged": judged,
        "passed": passed or 0,
        "labelled": labelled,
        "unlabelled": stored - labelled,
        "objects": objects or 0,
    }


def _gold(lake: Lake) -> dict[str, Any]:
    splits = lake.scan("gold_dataset").group_by("split").len().collect()
    rows = dict(splits.iter_rows())
    known = [name for name in ("train", "valid", "test", "excluded") if name in rows]
    return {"rows": sum(rows.values()), "splits": {name: rows[name] for name in known}}


def _model(settings: Settings) -> dict[str, Any]:
    from boatseg_core.inference.spec import SPEC_FILE, ModelSpec
    from boatseg_core.registry.lookup import resolve, version_of

    try:
        version = version_of(settings)
        if version is None:
            return {"name": settings.registry.model_name, "version": None}
        # The description alone: the weights are not read to print four numbers.
        folder = resolve(settings, version).folder
        spec = ModelSpec.model_validate_json((folder / SPEC_FILE).read_bytes())
    except (RegistryError, OSError, ValueError) as error:
        return {"name": settings.registry.model_name, "version": None, "problem": str(error)}
    return {
        "name": settings.registry.model_name,
        "version": version,
        "architecture": spec.architecture,
        "encoder": spec.encoder,
        "gold_version": spec.gold_version,
        "boat_iou": spec.metrics.get("boat_iou"),
        "per_image_iou": spec.metrics.get("per_image_iou"),
        "floor_per_image_iou": spec.metrics.get("floor_per_image_iou"),
        "min_boat_iou": settings.registry.min_boat_iou,
    }


def _predictions(lake: Lake, version: int | None) -> dict[str, Any]:
    import polars as pl

    scored = lake.scan("predictions").select(
        images=pl.len(),
        objects=pl.col("boat_count").sum(),
        current=(pl.col("model_version") == (version or 0)).sum(),
    )
    images, objects, current = scored.collect().row(0)
    unscored = (
        lake.scan("image_quality")
        .filter("passed")
        .select("image_id", "batch_id")
        .join(
            lake.scan("predictions").select("image_id", "batch_id"),
            on=["image_id", "batch_id"],
            how="anti",
        )
        .select(pl.len())
        .collect()
        .item()
    )
    return {
        "images": images,
        "objects": objects or 0,
        "by_production": current or 0,
        "unscored": unscored,
    }


def _drift(lake: Lake) -> dict[str, Any] | None:
    """Verdicts on the batch that was measured last."""
    import polars as pl

    rows = lake.read("drift")
    if rows.is_empty():
        return None
    newest = rows.sort("at", "batch_id")["batch_id"][-1]
    rows = rows.filter(pl.col("batch_id") == newest).sort("metric")
    return {
        "batch_id": newest,
        "at": rows["at"].max(),
        "drifted": rows.filter("drifted")["metric"].to_list(),
        "statistics": dict(rows.select("metric", "statistic").iter_rows()),
        "threshold": rows["threshold"][0],
        "images": rows["images"].max(),
    }


def _lines(state: dict[str, Any], noun: str) -> dict[str, tuple[str, str]]:
    """Text and style of each line, by its name."""
    batches, images = state["batches"], state["images"]
    lines = {"home": (state["home"], ""), "waiting": _say_waiting(state["waiting"])}
    outstanding = batches["outstanding"]
    text = f"{batches['sealed']:,} sealed, {batches['complete']:,} complete"
    for batch, reason in list(outstanding.items())[:_EXAMPLES]:
        text += f"\n{batch}: {reason}"
    if len(outstanding) > _EXAMPLES:
        text += f"\nand {len(outstanding) - _EXAMPLES:,} more: boatseg ingest builds them"
    lines["batches"] = (text, "yellow" if outstanding else "")
    refused = sum(images["quarantined"].values())
    text = f"{images['stored']:,} stored, {refused:,} quarantined"
    if refused:
        text += f" ({screen.listed(images['quarantined'])})"
    lines["images"] = (text, "")
    if images["judged"]:
        rate = images["passed"] / images["judged"]
        lines["quality"] = (f"{images['passed']:,} passed, {rate:.1%}", "")
    lines["labels"] = (
        f"{images['labelled']:,} images labelled, {images['unlabelled']:,} not; "
        f"{screen.counted(images['objects'], noun)}",
        "",
    )
    gold = state["gold"]
    splits = ", ".join(f"{rows:,} {name}" for name, rows in gold["splits"].items())
    lines["gold"] = (screen.counted(gold["rows"], "row") + (f": {splits}" if splits else ""), "")
    lines["model"] = _say_model(state["model"], noun)
    lines["predictions"] = _say_predictions(state["predictions"], noun)
    lines["drift"] = _say_drift(state["drift"])
    return lines


def _say_waiting(waiting: dict[str, Any]) -> tuple[str, str]:
    if "problem" in waiting:
        return waiting["problem"], "red"
    fresh, labels = waiting["files"] + waiting["unsettled"], waiting["label_files"]
    if not fresh and not labels:
        return "nothing", ""
    text = (
        f"{screen.counted(fresh, 'file')} not sealed, {screen.counted(len(labels), 'label file')}"
    )
    return f"{text} not read: boatseg ingest takes them", "yellow"


def _say_model(model: dict[str, Any], noun: str) -> tuple[str, str]:
    if "problem" in model:
        return model["problem"], "red"
    if model["version"] is None:
        return f"none of {model['name']} in production", "yellow"
    text = f"{model['name']} version {model['version']} in production"
    text += f"\nIoU on {noun} images {_say_iou(model['boat_iou'])}"
    text += f" (at least {model['min_boat_iou']:.3f} is asked for)"
    text += f"\nIoU on all images {_say_iou(model['per_image_iou'])}"
    text += f" (predicting nothing: {_say_iou(model['floor_per_image_iou'])})"
    return text, ""


def _say_iou(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _say_predictions(scored: dict[str, Any], noun: str) -> tuple[str, str]:
    text = f"{screen.counted(scored['images'], 'image')} scored, {scored['unscored']:,} not; "
    text += screen.counted(scored["objects"], noun)
    older = scored["images"] - scored["by_production"]
    if older:
        text += f"\n{older:,} of them by another version than production's"
    return text, ""


def _say_drift(drift: dict[str, Any] | None) -> tuple[str, str]:
    if drift is None:
        return "not measured yet", ""
    distances = ", ".join(f"{name} {value:.2f}" for name, value in drift["statistics"].items())
    verdict = f"{', '.join(drift['drifted'])} drifted" if drift["drifted"] else "none"
    text = f"{verdict} in batch {drift['batch_id']}\n{distances} (threshold {drift['threshold']:g})"
    return text, "yellow" if drift["drifted"] else ""

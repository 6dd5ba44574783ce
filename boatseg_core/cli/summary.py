"""The closing summary of a local run."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from boatseg_core.cli.screen import out, print_table, say
from boatseg_core.registry.lookup import checked, resolve, version_of

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.lake import Lake

_METRICS = (
    "boat_iou",
    "per_image_iou",
    "floor_per_image_iou",
    "dataset_iou",
    "empty_false_positive_rate",
    "images",
    "boat_images",
)
_SHOWN = (
    "files",
    "raw_images",
    "quarantine",
    "image_quality",
    "raw_masks",
    "label_issues",
    "rasterized_masks",
    "gold_dataset",
    "predictions",
    "drift",
)


def print_summary(
    lake: Lake, settings: Settings, *, seconds: Mapping[str, float], page: Path | None
) -> None:
    """Print rows per table, refusals, the model beside the floor, times, and what to try next."""
    _tables(lake)
    _refusals(lake)
    _model(settings)
    _times(seconds)
    out().print()
    if page is not None:
        say(f"Pictures    {page.as_uri()}", "bold")
    default = settings.paths.root == Path(".boatseg").absolute()
    home = "" if default else f" --home {shlex.quote(str(settings.paths.root))}"
    boatseg = _command()
    say("Try next    make dev" if default else f"Try next    {boatseg} dev{home}")
    say(
        f'            {boatseg} sql{home} "select split, count(*) images, sum(boat_count) boats '
        'from gold_dataset group by all"'
    )
    say(f"            {boatseg} predict{home} {_example(lake, settings)}")


def _command() -> str:
    """How to call us again: `make demo` runs us from a virtual environment that is on no path."""
    called = Path(sys.argv[0])
    if shutil.which("boatseg") or called.name != "boatseg":
        return "boatseg"
    here = called.absolute()
    within = here.is_relative_to(Path.cwd())
    return shlex.quote(str(here.relative_to(Path.cwd()) if within else here))


def _tables(lake: Lake) -> None:
    from boatseg_core.lake import TABLES

    rows = []
    for name in _SHOWN:
        if lake.exists(name):
            count = lake.count(name)
            rows.append((name, TABLES[name].layer, count, lake.version(name)))
    out().print()
    print_table(("table", "layer", "rows", "version"), rows, right=("rows", "version"))


def _refusals(lake: Lake) -> None:
    refused = lake.read("quarantine", ["path", "reason", "message"]).sort("path")
    quality = lake.read("image_quality", ["image_id", "passed", "reasons"]).filter(
        ~pl.col("passed")
    )
    issues = lake.read("label_issues", ["source_file", "line", "image_id", "message"])
    rows = [
        # The message names the file, for those who see nothing else.
        (r["path"], "quarantined", r["message"].removeprefix(f"{r['path']}: "))
        for r in refused.iter_rows(named=True)
    ]
    rows += [
        (r["image_id"], "failed quality", ", ".join(r["reasons"]))
        for r in quality.sort("image_id").iter_rows(named=True)
    ]
    rows += [
        (f"{r['source_file']}:{r['line']}", "mask row", f"{r['image_id']}: {r['message']}")
        for r in issues.sort("source_file", "line").iter_rows(named=True)
    ]
    if rows:
        out().print()
        print_table(("refused", "what", "why"), rows[:20], fold=("why",))
        if len(rows) > 20:
            say(
                f"... and {len(rows) - 20} more: boatseg quarantine list, boatseg labels issues, "
                "boatseg status"
            )


def figures(settings: Settings) -> dict[str, object]:
    """The model in production in a few figures, for the head of a page; empty without one."""
    version = version_of(settings)
    if version is None:
        return {}
    metrics, thing = _metrics(settings, version), settings.labels.class_name
    return {
        "model": f"{settings.registry.model_name} version {version}",
        f"IoU on images with a {thing}": round(metrics["boat_iou"], 3),
        "per-image IoU": round(metrics["per_image_iou"], 3),
        "predicting nothing scores": round(metrics["floor_per_image_iou"], 3),
        "false alarms on empty images": f"{metrics['empty_false_positive_rate']:.0%}",
    }


def _metrics(settings: Settings, version: int) -> dict[str, float]:
    """Test metrics of a version; NaN for what it does not say."""
    spec = checked(resolve(settings, version))
    return {name: spec.metric(name) for name in _METRICS}


def _model(settings: Settings) -> None:
    version = version_of(settings)
    out().print()
    if version is None:
        say("Model       none is in production: boatseg models says why", "yellow")
        return
    metrics = _metrics(settings, version)
    name, thing = settings.registry.model_name, settings.labels.class_name
    say(f"Model       {name} version {version}, in production", "bold")
    # What predicting nothing scores follows from the definitions, but for the share of empty
    # images, on which it is always right.
    rows = (
        (f"IoU on images with a {thing}", metrics["boat_iou"], 0.0),
        ("per-image IoU", metrics["per_image_iou"], metrics["floor_per_image_iou"]),
        ("dataset IoU", metrics["dataset_iou"], 0.0),
        ("empty images with a false alarm", metrics["empty_false_positive_rate"], 0.0),
    )
    columns = ("model", "predicting nothing")
    tested = f"on {metrics['images']:.0f} test images, {metrics['boat_images']:.0f} with a {thing}"
    print_table((tested, *columns), rows, right=columns)


def _times(seconds: Mapping[str, float]) -> None:
    out().print()
    parts = [f"{name} {value:.0f} s" for name, value in seconds.items()]
    say(f"Seconds     {', '.join(parts)}; {sum(seconds.values()):.0f} s in all")


def _example(lake: Lake, settings: Settings) -> str:
    """An image with objects, to try the predictor on."""
    frame = (
        lake.scan("predictions")
        .filter(pl.col("boat_count") > 0)
        .select("image_id", "batch_id")
        .head(1)
        .collect()
    )
    if frame.is_empty():
        return "IMAGE"
    return shlex.quote(str(settings.images_folder / frame["image_id"][0]))

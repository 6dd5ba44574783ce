"""A freshly trained model on pictures that it has never seen, and never will."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.cli import screen

if TYPE_CHECKING:
    import polars as pl

    from boatseg_core.config import Settings


def measure(settings: Settings, version: int, folder: Path, *, quiet: bool) -> dict[str, Any]:
    """Measure a registered version on pairs of pictures and masks, and write the report.

    Args:
        settings: Name the home and the model.
        version: Of the model.
        folder: Holds ``images/`` and ``masks.csv``.
        quiet: Print nothing.

    Returns:
        ``images`` (one row an image), ``headlines`` and ``report``.
    """
    from boatseg_core.cli.evaluate import print_facts, slug
    from boatseg_core.cli.train_scenes import pairs_gold
    from boatseg_core.inference.predictor import Predictor
    from boatseg_core.registry.lookup import resolve
    from boatseg_core.training.evaluate import evaluate
    from boatseg_core.training.report import write_report

    ref = resolve(settings, str(version))
    with pairs_gold(settings, folder) as gold:
        # The model's own threshold and sieve: nothing about it is chosen here.
        evaluation = evaluate(
            Predictor.load(ref.folder), gold, "test", threads=settings.decode.threads
        )
    name = f"{ref.name} version {ref.version}"
    heading = f"{name} on the pairs in {folder.name}"
    out = settings.paths.reports / f"pairs-{slug(name)}-{slug(folder.name)}"
    files = write_report(evaluation, out, heading=heading)
    if not quiet:
        screen.say("")
        print_facts(evaluation.facts, heading)
        screen.say("")
        _print_images(evaluation.images)
        screen.say_pair("report", str(files.page))
    return {
        "folder": str(folder),
        "images": [_row(row) for row in evaluation.images.iter_rows(named=True)],
        "headlines": evaluation.facts["headlines"],
        "report": {"page": str(files.page), "figure": str(files.figure)},
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    whole = {name: int(row[name]) for name in ("both", "extra", "missed", "predicted", "true")}
    boats = whole["both"] + whole["missed"] > 0
    return {
        "image_id": row["image_id"],
        **whole,
        "smallest": int(row["smallest"]),
        "iou": row["iou"] if boats and math.isfinite(row["iou"]) else None,
    }


def _print_images(images: pl.DataFrame) -> None:
    """One line an image, those with the largest objects first."""
    rows = sorted(
        (_row(row) for row in images.iter_rows(named=True)),
        key=lambda row: (-row["both"] - row["missed"], row["image_id"]),
    )
    screen.print_table(
        ["image", "true px", "true", "found", "false px", "IoU"],
        (
            [
                row["image_id"],
                row["both"] + row["missed"],
                row["true"],
                row["predicted"],
                row["extra"],
                row["iou"],
            ]
            for row in rows
        ),
        right=("true px", "true", "found", "false px", "IoU"),
    )

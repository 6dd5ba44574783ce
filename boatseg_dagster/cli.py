"""Commands that need Dagster; the ``boatseg`` command finds them as entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from boatseg_core.cli.options import current_settings, home_option


@click.command()
@click.option("--images", default=320, show_default=True, help="Labelled scenes to draw.")
@click.option("--seed", default=1, show_default=True, help="Seed of the scenes.")
@home_option
def demo(images: int, seed: int) -> None:
    """Draw scenes, and take them from files to tables, a model, and predictions."""
    from boatseg_dagster.demo import run_demo

    run_demo(current_settings(), images=images, seed=seed)


@click.command()
@click.option(
    "--images",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of images, searched at any depth.",
)
@click.option(
    "--masks",
    required=True,
    type=click.Path(path_type=Path),
    help="CSV file (or folder of CSV files) with the run-length masks.",
)
@home_option
def run(images: Path, masks: Path) -> None:
    """Take your own images and masks from files to tables, a model, and predictions."""
    from boatseg_dagster.own import run_own

    run_own(current_settings(), images, masks)


@click.command()
@click.option(
    "--port",
    default=3000,
    show_default=True,
    type=click.IntRange(1, 65_535),
    help="TCP port of the web interface.",
)
@home_option
def dev(port: int) -> None:
    """Open the Dagster UI on the home, with its sensor and schedules running (loopback only)."""
    from boatseg_dagster.instance import prepare

    settings = current_settings()
    prepare(settings)
    root = settings.paths.root
    click.echo(f"Dagster on http://127.0.0.1:{port} for the home {root} (Ctrl-C ends)")
    command = [sys.executable, "-m", "dagster", "dev", "-m", "boatseg_dagster.definitions"]
    try:
        sys.exit(
            subprocess.call([*command, "-h", "127.0.0.1", "-p", str(port)], env=os.environ.copy())
        )
    except KeyboardInterrupt:
        sys.exit(130)

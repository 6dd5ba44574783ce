"""``boatseg data``: scenes to learn from, drawn or downloaded."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import current_settings, home_option, output_option

# Starting a process costs as much as drawing this many pictures.
_PER_WORKER = 20


@click.group()
def data() -> None:
    """Get data to learn from."""


@data.command()
@click.option("--count", type=int, default=200, show_default=True, help="Number of pictures.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same bytes.")
@output_option("Folder to write into.", folder=True, required=True)
@click.option(
    "--empty-share",
    type=float,
    default=0.75,
    show_default=True,
    help="Share of pictures without boats, 0 to 1.",
)
@click.option("--faults", is_flag=True, help="Mix in damaged files and damaged label rows.")
@click.option("--unlabelled", is_flag=True, help="Write no CSV, as for pictures still to score.")
@click.option("--prefix", default="", help="Put before every file name.")
@click.option(
    "--workers", type=click.IntRange(0), default=0, help="Processes; by default one per core."
)
@home_option
def synth(
    count: int,
    seed: int,
    output: Path,
    empty_share: float,
    faults: bool,
    unlabelled: bool,
    prefix: str,
    workers: int,
) -> None:
    """Draw sea scenes with boats, and their masks as CSV."""
    from boatseg_core.synth import write_dataset

    workers = workers or min(os.cpu_count() or 1, max(1, count // _PER_WORKER))
    started = time.perf_counter()
    with screen.progress() as bar:
        task = bar.add_task("drawing", total=count)
        made = write_dataset(
            output,
            count=count,
            seed=seed,
            empty_share=empty_share,
            faults=faults,
            unlabelled=unlabelled,
            prefix=prefix,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            workers=workers,
        )
    seconds = time.perf_counter() - started
    rate = f"{seconds:.1f} s, {made.images / seconds:.0f} images/s"
    screen.say(f"wrote {screen.counted(made.images, 'image')} into {output / 'images'} ({rate})")
    boat_images = made.images - made.empty_images
    if made.csv is None:
        screen.say(f"no labels, as asked; {boat_images:,} of them show boats")
    else:
        screen.say(f"{made.csv}: {screen.counted(made.boats, 'boat')} in {boat_images:,} of them")
    if made.faults:
        kinds = [kind for _, kind in made.faults]
        screen.say(f"faults mixed in: {screen.listed({k: kinds.count(k) for k in kinds})}")


@data.command()
@click.argument("competition", default="airbus-ship-detection")
@output_option("Folder for the archive; by default the images'.", folder=True)
@home_option
def kaggle(competition: str, output: Path | None) -> None:
    """Download a Kaggle competition into the landing area, going on where it stopped.

    The archive stays packed: boatseg ingest reads the images in it. Its CSV files are put where
    labels are looked for. Needs boatseg[kaggle], an account, a token in the environment or in
    ~/.kaggle, and the competition's rules accepted.
    """
    from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    from boatseg_core.errors import InputError
    from boatseg_core.ingest.kaggle import download

    settings = current_settings()
    settings.paths.create()
    if output is None and "://" in settings.landing.images:
        raise InputError(
            f"landing.images is {settings.landing.images}: download with --output FOLDER and copy "
            "the archive there"
        )
    labels = settings.labels_path
    labels = labels if labels.is_dir() else settings.paths.landing
    with screen.progress(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(competition, total=None)
        done = download(
            competition,
            output or settings.images_folder,
            labels,
            progress=lambda there, total: bar.update(task, completed=there, total=total or None),
            note=screen.note,
        )
    how = f"{screen.size(done.fetched)} downloaded" if done.fetched else "nothing new"
    screen.say(f"{done.archive}: {screen.size(done.size)} ({how})")
    for file in done.labels:
        screen.say(f"{file}: labels")
    if output is None:
        screen.note("next: boatseg ingest")

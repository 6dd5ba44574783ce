"""``boatseg data``: scenes to learn from."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import home_option

# Starting a process costs as much as drawing this many pictures.
_PER_WORKER = 20


@click.group()
def data() -> None:
    """Make data sets."""


@data.command()
@click.option("--count", type=int, default=200, show_default=True, help="Number of pictures.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same bytes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write into.")
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
    out: Path,
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
            out,
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
    screen.say(f"wrote {screen.counted(made.images, 'image')} into {out / 'images'} ({rate})")
    boat_images = made.images - made.empty_images
    if made.csv is None:
        screen.say(f"no labels, as asked; {boat_images:,} of them show boats")
    else:
        screen.say(f"{made.csv}: {screen.counted(made.boats, 'boat')} in {boat_images:,} of them")
    if made.faults:
        kinds = [kind for _, kind in made.faults]
        screen.say(f"faults mixed in: {screen.listed({k: kinds.count(k) for k in kinds})}")

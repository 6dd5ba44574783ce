"""The demo: the whole pipeline on generated scenes, in minutes."""

from __future__ import annotations

from pathlib import Path

from boatseg_core.cli.screen import note, say
from boatseg_core.config import Settings, load_settings
from boatseg_dagster.local import LocalPipeline
from boatseg_dagster.own import finish, ingest, learn, score

_SETTINGS = """\
# Written by `boatseg demo`: small enough for two cores and a few minutes. Delete a line to get
# boatseg's own default back; `boatseg config` shows what is in force.

[seal]
max_files = 120

[train]
crop = 128
batch_size = 16
max_steps = 250
validations = 3
valid_images = 40
positive_share = 0.5

[tune]
trials = 4
steps = 36
validations = 2
valid_images = 12
max_seconds = 90.0
architectures = ["Unet", "FPN"]
losses = ["bce_dice", "focal_dice"]
crops = [96, 128]
learning_rate_low = 0.0007
learning_rate_high = 0.004
positive_share_low = 0.4
positive_share_high = 0.8
"""

_NEW_SCENES = 40
# Fewer empty scenes than real surveys have (three quarters): a training of two minutes needs boats.
_EMPTY_SHARE = 0.6


def run_demo(settings: Settings, *, images: int, seed: int) -> None:
    """Draw scenes, learn from them, then let unlabelled ones arrive and score them.

    Run again in the same home it finds that everything has been done, and says so.

    Args:
        settings: Settings in force; only the home is taken from them where the demo's own
            ``boatseg.toml`` was not written yet.
        images: Labelled scenes.
        seed: Seed of the scenes.
    """
    home = settings.paths.create()
    if not home.config_file.exists():
        home.write_config(_SETTINGS)
        settings = load_settings(home=home.root)
    say(f"boatseg demo in {home.root}", "bold")
    pipeline = LocalPipeline(settings, note)
    with pipeline.stage("scenes"):
        _draw(home.landing, images, seed, unlabelled=False)
    ingest(pipeline)
    learn(pipeline)
    with pipeline.stage("scenes"):
        _draw(home.landing, _NEW_SCENES, seed + 1, unlabelled=True)
    ingest(pipeline)
    score(pipeline)
    finish(pipeline, "boatseg demo")


def _draw(landing: Path, count: int, seed: int, *, unlabelled: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from boatseg_core.cli.screen import err
    from boatseg_core.synth import write_dataset

    what = "new, unlabelled scenes" if unlabelled else "labelled scenes"
    marker = landing / f".scenes-{seed}-{count}-{unlabelled}"
    if marker.exists():
        say(f"scenes      the {count} {what} were drawn before")
        return
    landing.mkdir(parents=True, exist_ok=True)
    console = err()
    with Progress(
        TextColumn("drawing {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=count)
        summary = write_dataset(
            landing,
            count=count,
            seed=seed,
            empty_share=_EMPTY_SHARE,
            faults=True,
            unlabelled=unlabelled,
            workers=2,
            progress=lambda done, _: progress.update(task, completed=done),
        )
    marker.touch()
    say(
        f"scenes      {summary.images} {what} with {summary.boats} boats, and "
        f"{len(summary.faults)} deliberate faults"
    )

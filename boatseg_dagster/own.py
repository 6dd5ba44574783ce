"""The stages of a local run, and the run on a user's own images and masks."""

from __future__ import annotations

import json
import time
from pathlib import Path

from boatseg_core.cli.screen import counted, note, say
from boatseg_core.cli.summary import figures, print_summary
from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import InputError
from boatseg_core.inference.backlog import stale_scores, unscored_batches
from boatseg_core.ingest.discover import discover
from boatseg_core.labels.ingest import check_usable
from boatseg_core.lake import Lake
from boatseg_core.registry.lookup import version_of
from boatseg_dagster.local import LocalPipeline


def run_own(settings: Settings, images: Path, masks: Path) -> None:
    """Take a folder of images and a CSV of masks through the whole pipeline.

    The two places are written to the home's ``boatseg.toml``, so that ``boatseg dev`` and later
    runs go on with them.

    Raises:
        InputError: The folder or the CSV is missing, empty or not what it should be, or the home
            already belongs to other images.
    """
    if not images.is_dir():
        raise InputError(f"--images {images} is not a folder: name the folder with the images")
    if not masks.exists():
        raise InputError(f"--masks {masks} does not exist: name the CSV file with the masks")
    settings = _remember(settings, images.absolute(), masks.absolute())
    check_usable(settings)
    say(f"boatseg run in {settings.paths.root}", "bold")
    found = discover(Lake.from_settings(settings), settings)
    if not found.listed and not found.unsettled:
        endings = ", ".join(settings.landing.suffixes)
        raise InputError(f"--images {images} holds no file that ends in {endings}")
    pipeline = LocalPipeline(settings, note)
    ingest(pipeline)
    learn(pipeline)
    score(pipeline)
    finish(pipeline, images.name or "boatseg")


def ingest(pipeline: LocalPipeline) -> None:
    """Bring what is new to gold, and say what became of it."""
    lake, started = pipeline.lake, time.monotonic()
    before = {name: lake.counts(name) for name in ("raw_images", "quarantine", "gold_dataset")}
    runs = pipeline.ingest()
    seconds = time.monotonic() - started
    if not runs:
        say("ingest      nothing new: every file and label was taken before, none is read twice")
        return
    new = {
        name: sum(lake.counts(name).values()) - sum(counts.values())
        for name, counts in before.items()
    }
    say(
        f"ingest      {counted(new['raw_images'], 'image')} to bronze, "
        f"{new['quarantine']} quarantined, {new['gold_dataset']} to gold  ({seconds:.1f} s)"
    )


def learn(pipeline: LocalPipeline) -> None:
    """Tune, train, register and promote, unless production was trained on this very gold."""
    from boatseg_core.registry.lookup import checked, resolve

    settings = pipeline.settings
    gold = pipeline.lake.version("gold_dataset")
    if version_of(settings) is not None:
        trained_on = checked(resolve(settings)).gold_version
        if trained_on is not None and trained_on >= _last_change_of_gold(pipeline, trained_on):
            say(f"model       in production already, trained on gold version {trained_on}")
            return
    say(f"tuning      {settings.tune.trials} short trials on gold version {gold} ...")
    pipeline.run("tune_model")
    say(f"tuning      {_found(settings, gold)}  ({pipeline.seconds['tune_model']:.1f} s)")
    say(f"training    {settings.train.max_steps} steps ...")
    pipeline.run("train_model")
    say(f"training    done  ({pipeline.seconds['train_model']:.1f} s)")


def score(pipeline: LocalPipeline) -> None:
    """Score, if a model is in production, every batch that it has not scored.

    What another version scored counts too: the summary shows the figures of production, which
    have to belong to the predictions beside them.
    """
    version = version_of(pipeline.settings)
    if version is None:
        say("predictions none: no version passed the gate (boatseg models says why)", "yellow")
        return
    stale = stale_scores(pipeline.lake, pipeline.settings.registry.model_name, version)
    batches = sorted({*unscored_batches(pipeline.lake), *stale})
    if not batches:
        say(f"predictions nothing new: every image was scored before by version {version}")
        return
    for batch in batches:
        pipeline.run("score_batch", batch)
    seconds = pipeline.seconds["score_batch"]
    say(
        f"predictions {counted(len(batches), 'batch', 'batches')} scored by version {version}  "
        f"({seconds:.1f} s)"
    )


def finish(pipeline: LocalPipeline, title: str) -> None:
    """Draw the page of predictions and print the summary."""
    from boatseg_core.gallery.predictions import write_predictions_page

    settings, lake = pipeline.settings, pipeline.lake
    page: Path | None = None
    if lake.exists("predictions"):
        with pipeline.stage("page"):
            page = write_predictions_page(
                lake,
                settings.paths.reports / "predictions.html",
                title=title,
                summary=figures(settings),
                class_name=settings.labels.class_name,
            )
    print_summary(lake, settings, seconds=pipeline.seconds, page=page)


def _found(settings: Settings, gold: int | None) -> str:
    """What a study on this version of gold left for the training."""
    from boatseg_core.training.hyperparameters import load_best
    from boatseg_core.training.study.board import told

    kept = load_best(settings)
    if kept is None or kept.gold_version != gold:
        return "nothing did better than predicting nothing: the settings stay"
    return f"{kept.value:+.2f} IoU over predicting nothing with {told(kept.params)}"


def _last_change_of_gold(pipeline: LocalPipeline, version: int) -> int:
    """Newest gold version that changed rows; batches without any labelled image change none."""
    newest = pipeline.lake.table("gold_dataset")
    pinned = pipeline.lake.table("gold_dataset", version)
    same = sorted(newest.file_uris()) == sorted(pinned.file_uris())
    return version if same else newest.version()


def _remember(settings: Settings, images: Path, masks: Path) -> Settings:
    file = settings.paths.create().config_file
    text = (
        "# Written by `boatseg run`; more settings can be added, `boatseg config` lists them.\n"
        f"[landing]\nimages = {_toml_string(images)}\nlabels = {_toml_string(masks)}\n"
    )
    if not file.exists():
        settings.paths.write_config(text)
    found = load_settings(home=settings.paths.root)
    if (found.images_folder, found.labels_path) != (images, masks):
        raise InputError(
            f"the home {settings.paths.root} takes its images from {found.images_folder} and its "
            f"masks from {found.labels_path}: name another home with --home, or change {file}"
        )
    return found


def _toml_string(path: Path) -> str:
    """Write a path as a TOML basic string (https://toml.io/en/v1.0.0#string)."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the name {text!r} is not valid UTF-8 and cannot be kept in a settings file: rename it"
        ) from error
    # JSON's escapes are TOML's, but for surrogate pairs (kept out here) and DEL (not escaped).
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

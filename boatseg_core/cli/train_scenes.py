"""Lakes that a training makes for itself: generated scenes, and pairs to measure on."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.cli import screen
from boatseg_core.errors import InputError

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.training.presets import Scenes

# Starting a process costs as much as drawing this many pictures.
_PER_WORKER = 20
# Number, seed, share of empty pictures and the generator's digest.
_SCENES = re.compile(r"\d+-\d+-[\d.e-]+-[0-9a-f]{12}")
# A share must stay below 1; of so few groups none is left over.
_ALL = 1 - 1e-9


@contextmanager
def scenes_gold(settings: Settings, scenes: Scenes) -> Iterator[GoldDataset]:
    """Gold of generated scenes, in a lake of its own below the home's work folder.

    Drawn, ingested and joined by the same steps as any images. Done once: scenes of the same
    number, seed and generator are there the next time. Where new ones are drawn, those of other
    generators, which nothing will ask for again, are deleted unless a process uses them.

    Args:
        settings: Name the home and what an object is called.
        scenes: What to draw.

    Yields:
        The data set; no other process deletes it meanwhile.

    Raises:
        InputError: The folder cannot be written to.
    """
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.lake import Lake
    from boatseg_core.synth import generator_digest

    generator = generator_digest()[:12]
    name = f"{scenes.count}-{scenes.seed}-{scenes.empty_share:g}-{generator}"
    root = settings.paths.work / "scenes" / name
    root.mkdir(parents=True, exist_ok=True)
    own = _own_lake(settings, root)
    # Locks are given back by the end of the process, however it ends.
    with _lock_file(root).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # others may train on them, too
        while not (root / "ingested").exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            _make(own, scenes, root, generator)
            fcntl.flock(lock, fcntl.LOCK_SH)  # given up for a moment: look again
        yield GoldDataset(Lake.from_settings(own))


def _make(own: Settings, scenes: Scenes, root: Path, generator: str) -> None:
    """Draw scenes and take them in, as far as nobody has done so yet."""
    from boatseg_core.synth import write_dataset

    root.mkdir(parents=True, exist_ok=True)
    if not (root / "drawn").exists():
        _delete_others(root.parent, generator)
        with screen.progress() as bar:
            task = bar.add_task("drawing scenes", total=scenes.count)
            write_dataset(
                own.paths.landing,
                count=scenes.count,
                seed=scenes.seed,
                empty_share=scenes.empty_share,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
                workers=min(os.cpu_count() or 1, max(1, scenes.count // _PER_WORKER)),
            )
        (root / "drawn").touch()
    _ingested(own, scenes.count)
    (root / "ingested").touch()


def _lock_file(root: Path) -> Path:
    """Beside the folder, so that deleting the folder does not delete the lock under it."""
    return root.with_name(f".{root.name}.lock")


def _delete_others(parent: Path, generator: str) -> None:
    """Delete the scenes of other generators; those that a process holds stay."""
    for folder in sorted(parent.iterdir()):
        if not folder.is_dir() or not _SCENES.fullmatch(folder.name):
            continue
        if folder.name.endswith(f"-{generator}"):
            continue
        with _lock_file(folder).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                screen.note(f"{folder} stays: another process uses these scenes")
                continue
            shutil.rmtree(folder)
            screen.note(f"{folder} is deleted: the generator draws other scenes by now")


@contextmanager
def pairs_gold(settings: Settings, folder: Path) -> Iterator[GoldDataset]:
    """Gold of pictures with masks to measure on, all of them in its test split, for a while.

    Args:
        settings: Name the home and the columns of the label file.
        folder: Holds ``images/`` and ``masks.csv``, or any label files.

    Yields:
        The data set; its lake is deleted afterwards, so nothing can ever be trained on it.

    Raises:
        InputError: There are no such pictures, or some of them cannot be used.
    """
    from boatseg_core.config.sections import Quality, Split

    images, masks = folder / "images", folder / "masks.csv"
    if not images.is_dir():
        raise InputError(f"{images} is not a folder: name one that holds images/ and masks.csv")
    work = settings.paths.work
    work.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="pairs-", dir=work))
    try:
        landing = {"images": str(images), "labels": str(masks if masks.is_file() else folder)}
        # A dark or a flat picture is no less a picture to measure on.
        every = Quality(
            min_width=1,
            min_height=1,
            min_brightness=0,
            max_brightness=255,
            min_contrast=0,
            max_blank_share=1,
        )
        own = _own_lake(
            settings,
            root,
            landing=landing,
            labels=settings.labels,
            quality=every,
            split=Split(valid_share=0.0, test_share=_ALL),
        )
        there = [path for path in images.iterdir() if path.is_file()]
        yield _ingested(own, sum(not path.name.startswith(".") for path in there))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _own_lake(
    settings: Settings, root: Path, landing: dict[str, Any] | None = None, **sections: Any
) -> Settings:
    """Settings of a lake below the work folder: nothing but the given sections is taken over."""
    from boatseg_core.config.sections import Decode, Labels, Landing, Quality, Seal, Split

    # Nothing else writes there, so no file has to settle.
    changed = {
        "home": root,
        "lake_uri": "",
        "storage_options": {},
        "landing": Landing(**{"settle_seconds": 0, **(landing or {})}),
        "decode": Decode(threads=settings.decode.threads),
        "seal": Seal(),
        "quality": Quality(),
        "labels": Labels(class_name=settings.labels.class_name),
        "split": Split(),
    }
    return settings.model_copy(update={**changed, **sections})


def _ingested(own: Settings, expected: int) -> GoldDataset:
    """Take in what is in the landing folder; refuse to go on with less than was expected."""
    from boatseg_core.cli.ingest import take_in
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.lake import Lake

    own.paths.create()
    lake = Lake.from_settings(own)
    _, _, totals = take_in(lake, own, wait=False)
    for error in (*totals.trouble, *totals.failed.values()):
        raise error
    rows = lake.count("gold_dataset")  # there may be no such table: of broken batches alone
    if rows < expected:
        why = "; ".join(f"{Path(path).name}: {message}" for path, message in totals.refused[:3])
        left = totals.say("left_out") or totals.say("unmet") or "nothing left out of gold"
        raise InputError(
            f"only {rows:,} of {expected:,} pictures in {own.images_location} can be used "
            f"({why or left}): label or remove the others"
        )
    return GoldDataset(lake)

"""``boatseg predict``: objects in pictures, by the registered model."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from boatseg_core.cli import screen
from boatseg_core.cli.failure import FAILED, say_error
from boatseg_core.cli.options import current_settings, home_option, json_option, output_option
from boatseg_core.errors import ImageError, InputError

if TYPE_CHECKING:
    from boatseg_core.inference.prediction import Prediction

_SHOWN = 25  # objects of one picture, in the terminal


@dataclass
class _Files:
    """Reads files as the predictor asks for them, and notes the ones that cannot be read."""

    paths: Sequence[Path]

    def __post_init__(self) -> None:
        self.unreadable: dict[Path, str] = {}

    def __iter__(self) -> Iterator[bytes]:
        for path in self.paths:
            try:
                if path.exists() and not path.is_file():
                    raise OSError(errno.EINVAL, "it is not a file")  # a pipe would block for ever
                data = path.read_bytes()
            except OSError as error:
                self.unreadable[path] = f"it cannot be read: {error.strerror}"
                data = b""  # keeps answers and paths in step
            yield data


@click.command()
@click.argument(
    "images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path)
)
@click.option(
    "--model",
    default="production",
    show_default=True,
    metavar="ALIAS|VERSION",
    help="Version of the registered model.",
)
@output_option("Write each picture with its objects drawn into this folder.", folder=True)
@json_option
@home_option
def predict(images: tuple[Path, ...], model: str, output: Path | None, as_json: bool) -> None:
    """Find the objects in pictures: score, left upper corner, size and area in pixels.

    The score is the probability that the object is a true one, 0 to 1.

    With --json each picture is one line, with the run lengths of its objects. A picture that cannot
    be read does not stop the others; the exit code is then 1.
    """
    from boatseg_core.inference.options import predictor_options
    from boatseg_core.inference.predictor import Predictor
    from boatseg_core.registry.lookup import resolve

    settings = current_settings()
    ref = resolve(settings, model)
    predictor = Predictor.load(ref.folder, **predictor_options(settings))
    noun = predictor.spec.class_name
    drawings = None if output is None else _Drawings(_created(output), settings.decode.max_pixels)
    if not as_json:
        screen.note(f"{ref.name} version {ref.version}")
    files, failed = _Files(images), 0
    for path, answer in zip(images, predictor.stream(files), strict=True):
        if isinstance(answer, ImageError):
            failed += 1
            message = files.unreadable.get(path, str(answer))
            if as_json:
                _print_json({"image": str(path), "error": message})
            else:
                say_error(f"{path}: {message}")
            continue
        drawn = None if drawings is None else drawings.draw(path, answer)
        if as_json:
            facts = {"image": str(path), "model": ref.name, "version": ref.version}
            _print_json(facts | _facts(answer) | ({} if drawn is None else {"drawn": str(drawn)}))
        else:
            _print(path, answer, noun, drawn)
    if failed and len(images) > 1:
        screen.note(f"{failed:,} of {len(images):,} pictures could not be read")
    click.get_current_context().exit(FAILED if failed else 0)


def _facts(answer: Prediction) -> dict[str, Any]:
    return {
        "width": answer.width,
        "height": answer.height,
        "boat_count": answer.boat_count,
        "boat_area": answer.boat_area,
        "boxes": answer.boxes,
        "areas": answer.areas,
        "scores": [round(score, 6) for score in answer.scores],
        "rles": answer.rles,
    }


def _print_json(facts: dict[str, Any]) -> None:
    # A name that is not UTF-8 has to stay printable: ensure_ascii does that.
    click.echo(json.dumps(facts, ensure_ascii=True))


def _print(path: Path, answer: Prediction, noun: str, drawn: Path | None) -> None:
    count = screen.counted(answer.boat_count, noun) if answer.boat_count else f"no {noun}"
    line = Text.assemble((screen.clean(str(path)), "bold"), f": {count}")
    if drawn is not None:
        line.append(f"  → {screen.clean(str(drawn))}", "dim")
    screen.out().print(line, soft_wrap=True)
    found = list(zip(answer.scores, answer.boxes, answer.areas, strict=True))
    for score, (x, y, width, height), area in sorted(found, reverse=True)[:_SHOWN]:
        screen.say(
            f"  score {score:.2f}  at {x:>5},{y:<5}  size {width:>4} x {height:<4}  {area:>7,} px"
        )
    if len(found) > _SHOWN:
        screen.say(f"  and {len(found) - _SHOWN:,} with lower scores: --json lists all", "dim")


@dataclass
class _Drawings:
    """Draws predictions into a folder, one file a picture whatever the pictures are called."""

    folder: Path
    max_pixels: int

    def __post_init__(self) -> None:
        self._taken: set[str] = set()

    def draw(self, path: Path, answer: Prediction) -> Path:
        from boatseg_core.imaging.decode import decode
        from boatseg_core.imaging.overlay import PREDICTION, draw_overlay, to_jpeg

        # Decoded again here: only then is it needed, and the predictor keeps no pictures.
        image = decode(path.read_bytes(), max_pixels=self.max_pixels)
        name, number = f"{path.stem}.jpg", 2
        while name in self._taken:
            name, number = f"{path.stem}-{number}.jpg", number + 1
        self._taken.add(name)
        target = self.folder / name
        if target.resolve() == path.resolve():
            raise InputError(f"{target} would be written over: choose another folder with --output")
        picture = to_jpeg(draw_overlay(image, answer.mask(), colour=PREDICTION), quality=90)
        try:
            target.write_bytes(picture)
        except OSError as error:
            raise InputError(f"{target} cannot be written: {error.strerror}") from error
        return target


def _created(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be created: {error.strerror}") from error
    return folder

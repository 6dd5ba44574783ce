"""Write labels as a folder of mask pictures."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boatseg_core.errors import InputError
from boatseg_core.imaging import rle
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.labels.export.choose import Exported, Labelled, choose
from boatseg_core.labels.instances import instance_map
from boatseg_core.labels.match import known_images
from boatseg_core.labels.rows import HARMLESS, Drawn, LabelKey, draw_rows, read_rows
from boatseg_core.labels.sources.mask_picture import INSTANCES
from boatseg_core.lake import Lake

_AT_ONCE = 1000  # labels whose rows are in memory
# Colours that are told apart side by side: the golden angle around the hue circle.
_HUE_STEP = 0.618034


def export_png(
    lake: Lake, folder: Path, *, split: str = "", version: int | None = None
) -> Exported:
    """Write the labels in force as one PNG an image, named by the image's stem.

    Objects are numbers (indexed colours up to 255 objects, 16-bit grey above), as they were in the
    mask picture they came from, or else 1, 2, 3 and so on. Masks that came as one value, and empty
    ones, are 1 bit. Where objects overlap, the later one hides the earlier.

    Args:
        lake: The lake.
        folder: Where to; made where missing. Files of the same name are overwritten.
        split: Only images that gold has in this split.
        version: The labels as they were at this label version.

    Raises:
        InputError: There is nothing to write, or the folder cannot be written to.
    """
    labels = choose(lake, split=split, version=version)
    shared = _shared_stems([*known_images(lake)["image_id"], *(i.name for i in labels.values())])
    paths = _paths(labels, folder, shared)
    done = Exported()
    keys = sorted(labels)
    for first in range(0, len(keys), _AT_ONCE):
        rows = read_rows(lake, keys[first : first + _AT_ONCE])
        for key, found in rows.items():
            image, path = labels[key], paths[key]
            if image.width is None or image.height is None:
                done.skip("size_unknown")
                continue
            if path is None:
                done.skip("name_outside_of_the_folder")
                continue
            drawn = draw_rows(found, image.height, image.width)
            lost = [issue["reason"] for issue in drawn.issues if issue["reason"] not in HARMLESS]
            for reason in lost:
                done.skip(reason)
            if lost:
                continue  # what is left would say that there are fewer objects
            data, hidden = _picture(drawn, image.height, image.width)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            except OSError as error:
                raise InputError(f"{path} cannot be written: {error.strerror}") from error
            done.images += 1
            done.rows += len(drawn.objects)
            done.overlapping += hidden
    return done


def _shared_stems(names: list[str]) -> set[str]:
    """Stems of several images: a mask called so would be nobody's."""
    counts = Counter(_stem(name) for name in set(names))
    return {stem for stem, count in counts.items() if count > 1}


def _stem(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + (file.rpartition(".")[0] if "." in file else file)


def _paths(
    labels: dict[LabelKey, Labelled], folder: Path, shared: set[str]
) -> dict[LabelKey, Path | None]:
    """One path a label; ``None`` where the name leads out of the folder."""
    root = folder.resolve()
    paths: dict[LabelKey, Path | None] = {}
    for key in sorted(labels):
        text = labels[key].name
        paths[key] = None
        if not text.isprintable() or Path(text).name in ("", ".."):
            continue
        has_ending = not (key.by_stem and text == key.label_id)
        # A mask's stem may be an image's full name as well: a.jpg.png beside a.tif.png.
        stem = _stem(text) if has_ending and _stem(text) not in shared else text
        path = root / f"{stem}.png"
        if path.resolve().is_relative_to(root):
            paths[key] = path
    return paths


def _picture(drawn: Drawn, height: int, width: int) -> tuple[bytes, bool]:
    """Encode the objects of an image; and whether one hides a part of another."""
    texts = [rle.to_text(runs) for runs in drawn.objects]
    elements = [row.element or "" if row.kind == "mask" else "" for row in drawn.rows]
    if all(element.startswith("region ") for element in elements):
        return encode_mask(instance_map(texts, height, width) > 0), False
    if all(element.startswith("value ") for element in elements):
        values = [int(element.removeprefix("value ")) for element in elements]
    else:
        values = list(range(1, len(texts) + 1))
    numbers = instance_map(texts, height, width, values)
    painted = int((numbers > 0).sum())
    covered = sum(int(runs[:, 1].sum()) for runs in drawn.objects)
    return _encode(numbers, max(values)), painted < covered


def _encode(numbers: np.ndarray, highest: int) -> bytes:
    if highest < 2**8:
        image = Image.fromarray(numbers.astype(np.uint8))
        image.putpalette(_palette())
    elif highest < 2**16:
        image = Image.fromarray(numbers.astype(np.uint16))
    else:
        channels = [(numbers >> shift) & 255 for shift in (16, 8, 0)]
        image = Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))
    info = PngInfo()
    # One object in two pieces would be read as two: this says that a number is an object.
    info.add_text(*INSTANCES)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def _palette() -> list[int]:
    black = [0, 0, 0]
    hues = [int(255 * (number * _HUE_STEP % 1.0)) for number in range(1, 256)]
    colours = Image.new("HSV", (255, 1))
    colours.putdata([(hue, 200, 255) for hue in hues])
    pixels = cast("list[tuple[int, int, int]]", list(colours.convert("RGB").getdata()))
    return black + [value for pixel in pixels for value in pixel]

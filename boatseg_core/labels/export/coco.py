"""Write labels as a COCO file."""

from __future__ import annotations

import json
from typing import Any, TextIO

from boatseg_core.config import Settings
from boatseg_core.labels import coco_rle
from boatseg_core.labels.annotation import runs_of
from boatseg_core.labels.export.choose import Exported, Labelled, choose, rows_of, unusable
from boatseg_core.labels.raster import draw
from boatseg_core.labels.rows import MaskRow
from boatseg_core.lake import Lake


def export_coco(
    lake: Lake, settings: Settings, out: TextIO, *, split: str = "", version: int | None = None
) -> Exported:
    """Write the labels in force as COCO.

    Segmentations that came from a COCO file are written as they came, number for number; everything
    else becomes compressed run lengths, which lose nothing. Areas and boxes are those of the
    pixels. An image with a row that cannot be used is
    left out, and such rows are counted.

    Args:
        lake: The lake.
        settings: For the name of the class.
        out: Where to.
        split: Only images that gold has in this split.
        version: The labels as they were at this label version.

    Raises:
        InputError: There is nothing to write.
    """
    labels = choose(lake, split=split, version=version)
    done = Exported()
    lost = unusable(lake, labels, done, run_lengths=True)
    names = sorted({image.name for image in labels.values()} - lost)
    sizes = {image.name: image for image in labels.values()}
    numbers: dict[str, int] = {}
    out.write('{"images": [')
    for name in names:
        size = sizes[name]
        numbers[name] = len(numbers) + 1
        _element(
            out,
            len(numbers) > 1,
            {
                "id": numbers[name],
                "file_name": name,
                "width": size.width,
                "height": size.height,
            },
        )
    out.write('\n],\n"annotations": [')
    categories: dict[str, int] = {}
    for _, image, row in rows_of(lake, labels):
        if image.name not in numbers or row.encoded_pixels == "":
            continue
        annotation = _annotation(row, image)
        category = row.category or settings.labels.class_name
        number = categories.setdefault(category, len(categories) + 1)
        ids = {
            "id": done.rows + 1,
            "image_id": numbers[image.name],
            "category_id": number,
            "iscrowd": int(bool(row.crowd)),
        }
        _element(out, done.rows > 0, ids | annotation)
        done.rows += 1
    out.write('\n],\n"categories": [')
    categories = categories or {settings.labels.class_name: 1}
    for name, number in categories.items():
        _element(out, number > 1, {"id": number, "name": name})
    out.write("\n]}\n")
    done.images = len(numbers)
    return done


def _annotation(row: MaskRow, image: Labelled) -> dict[str, Any]:
    assert image.height is not None  # else it were lost
    assert image.width is not None
    assert row.encoded_pixels is not None
    runs, _ = runs_of(row.kind, row.encoded_pixels, image.height, image.width)
    raster = draw([runs], image.height, image.width)
    if row.kind in ("coco_polygon", "coco_rle"):
        segmentation = json.loads(row.encoded_pixels)
    else:
        counts = coco_rle.to_string(runs, image.height, image.width)
        segmentation = {"size": [image.height, image.width], "counts": counts}
    return {
        "segmentation": segmentation,
        "area": raster.area,
        "bbox": raster.boxes[0] if raster.boxes else [0, 0, 0, 0],
    }


def _element(out: TextIO, again: bool, value: dict[str, Any]) -> None:
    out.write((",\n" if again else "\n") + json.dumps(value, separators=(",", ":")))

"""From rows of a query to cards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from boatseg_core.errors import ImageError, InputError, RleError
from boatseg_core.gallery.card import Card
from boatseg_core.imaging import rle
from boatseg_core.imaging.decode import open_image
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.imaging.rle import BoolMask
from boatseg_core.metrics.iou import iou

IMAGE_ID, IMAGE, TRUTH, PREDICTION = "image_id", "image", "mask", "boat_rles"

# Bulky or of no use below a picture.
_SILENT = {IMAGE_ID, "boat_boxes", "boat_areas", PREDICTION, "mask_format"}
_RUNS = re.compile(r"boat_rles(_\d+)?")
_TRANSPOSED = range(5, 9)  # EXIF orientations that swap width and height


def cards_from_frame(frame: pl.DataFrame, *, scored: bool = True) -> Iterator[Card]:
    """Turn rows into cards, one at a time.

    Args:
        frame: Columns ``image`` (an image file's bytes) and, all optional, ``image_id``, ``mask``
            (mask picture of the truth), ``boat_rles`` (list of run-length strings, the
            prediction). Every other column that is not binary is printed below the picture, and
            an ``iou`` is added where both masks are there.
        scored: Whether the rows can hold predictions. Labels have ``boat_rles``, too: in rows of a
            query that names no table of predictions, they are the truth once more.

    Returns:
        Cards in the order of the rows.

    Raises:
        InputError: There is no ``image`` column, or a mask or run-length string is damaged or
            does not fit its image; the message names the row. A damaged image is not an error
            here: its card says so.
    """
    if frame.schema.get(IMAGE) != pl.Binary:
        raise InputError(
            "a gallery needs the column image with the pictures' bytes: add it to the select, "
            "for example: select image_id, image, mask from gold_dataset"
        )
    if frame.schema.get(TRUTH, pl.Binary) != pl.Binary:
        raise InputError(f"the column {TRUTH} has to hold mask pictures, not {frame.schema[TRUTH]}")
    prediction = _prediction_column(frame) if scored else None
    if prediction is not None and frame.schema[prediction] != pl.List(pl.String):
        raise InputError(
            f"the column {prediction} has to hold lists of run lengths, "
            f"not {frame.schema[prediction]}"
        )
    return _cards(frame, prediction)


def _prediction_column(frame: pl.DataFrame) -> str | None:
    """The run lengths of the prediction.

    A join of labels and predictions with all their columns has two: those of the prediction follow
    its scores.
    """
    found = [name for name in frame.columns if _RUNS.fullmatch(name)]
    if len(found) > 1 and "boat_scores" in frame.columns:
        scores = frame.columns.index("boat_scores")
        found = [name for name in found if frame.columns.index(name) > scores] or found
    return found[0] if found else None


def _cards(frame: pl.DataFrame, runs: str | None) -> Iterator[Card]:
    fields = [
        name
        for name, kind in frame.schema.items()
        if kind != pl.Binary and not kind.is_nested() and name not in _SILENT
    ] + [name for name in frame.columns if name == "boat_scores" or name == "reasons"]
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        name = str(row.get(IMAGE_ID) or f"row {number}")
        image = row[IMAGE] or b""
        try:
            truth = None if row.get(TRUTH) is None else decode_mask(row[TRUTH])
            prediction = _prediction(row, runs, image, truth)
        except (ImageError, RleError) as error:
            raise InputError(f"{name} (row {number} of the result): {error}") from error
        if truth is not None and prediction is not None and truth.shape != prediction.shape:
            raise InputError(
                f"{name} (row {number} of the result): its mask is "
                f"{truth.shape[1]}x{truth.shape[0]} pixels, its prediction "
                f"{prediction.shape[1]}x{prediction.shape[0]}"
            )
        shown = {field: row[field] for field in fields}
        if truth is not None and prediction is not None and "iou" not in shown:
            shown["iou"] = iou(prediction, truth)
        yield Card(name, image, truth, prediction, shown)


def _prediction(
    row: dict[str, Any], runs: str | None, image: bytes, truth: BoolMask | None
) -> BoolMask | None:
    texts: list[str] | None = None if runs is None else row[runs]
    if texts is None:
        return None
    if row.get("width") and row.get("height"):
        height, width = int(row["height"]), int(row["width"])
    elif truth is not None:
        height, width = truth.shape
    else:
        try:
            height, width = _upright_size(image)
        except ImageError:
            return None  # there is nothing to draw it on: the card tells why
    mask = np.zeros((height, width), dtype=np.bool_)
    for text in texts:
        mask |= rle.decode(text, height, width)
    return mask


def _upright_size(data: bytes) -> tuple[int, int]:
    with open_image(data) as picture:
        width, height = picture.size
        swapped = picture.getexif().get(0x0112) in _TRANSPOSED
    return (width, height) if swapped else (height, width)

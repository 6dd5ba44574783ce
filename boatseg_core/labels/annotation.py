"""What an annotation covers, once its image's size is known."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from boatseg_core.errors import RleError
from boatseg_core.imaging import rle
from boatseg_core.labels import coco_rle, polygons


class Note(NamedTuple):
    """Something strange that loses nothing.

    Attributes:
        reason: Short machine-readable reason.
        message: The reason in a sentence.
    """

    reason: str
    message: str


def runs_of(
    kind: str | None,
    text: str,
    height: int,
    width: int,
    *,
    own_height: int | None = None,
    own_width: int | None = None,
) -> tuple[rle.Runs, list[Note]]:
    """Work out the pixels of an annotation.

    Args:
        kind: How it is written, as in ``raw_masks``.
        text: The annotation.
        height: Rows of the image.
        width: Columns of the image.
        own_height: Rows of the picture it was drawn on, where known.
        own_width: Columns of that picture.

    Returns:
        int64 ``[N, 2]``: zero-based start and length of column-major runs; and what was strange.

    Raises:
        RleError: It cannot be used; the reasons are those of :func:`boatseg_core.imaging.rle.parse`
            and :func:`boatseg_core.labels.coco_rle.to_runs`, and for outlines ``no_segmentation``,
            ``not_numbers``, ``not_finite``, ``too_few_points``, ``unsupported_geometry``,
            ``out_of_bounds`` and ``too_complex``.
    """
    drawn_on = (own_width, own_height)
    if None not in drawn_on and drawn_on != (width, height):
        raise RleError(
            "other_size",
            f"it was drawn on {own_width}x{own_height} pixels, the image has {width}x{height}",
        )
    if kind in (None, "rle", "mask"):
        return rle.parse(text, height=height, width=width), []
    if not text:
        return np.empty((0, 2), dtype=np.int64), []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RleError("no_segmentation", f"the annotation is no JSON: {error}") from error
    if kind == "coco_rle":
        return coco_rle.to_runs(value, height, width), []
    if kind == "coco_polygon":
        return _coco_polygon(value, height, width)
    if kind == "geojson":
        return _geojson(value, height, width)
    raise RleError("unknown_kind", f"annotations of the kind {kind!r} cannot be read")


def _coco_polygon(value: Any, height: int, width: int) -> tuple[rle.Runs, list[Note]]:
    if not isinstance(value, list) or not value:
        raise RleError("no_segmentation", "the annotation has no segmentation")
    if not all(isinstance(part, list) for part in value):
        value = [value]  # one part that was not wrapped into a list of parts
    parts = []
    for part in value:
        if len(part) % 2:
            raise RleError("odd_length", f"{len(part)} numbers do not make pairs of x and y")
        parts.append(_points([part[i : i + 2] for i in range(0, len(part), 2)]))
    filled = [polygons.fill_coco(points, height, width) for points in parts]
    return _checked(polygons.union(filled), parts, height, width)


def _geojson(value: Any, height: int, width: int) -> tuple[rle.Runs, list[Note]]:
    shape, coordinates = value.get("type"), value.get("coordinates")
    if shape not in ("Polygon", "MultiPolygon"):
        raise RleError(
            "unsupported_geometry", f"{shape!r} has no area: only polygons can be used"[:200]
        )
    rings: list[polygons.Points] = []
    filled = []
    try:
        shapes = [coordinates] if shape == "Polygon" else coordinates
        for polygon in shapes:
            own = [_points(ring) for ring in polygon]
            if not own:
                raise RleError("too_few_points", "a polygon has no ring")
            filled.append(polygons.fill_even_odd(own, height, width))
            rings += own
    except TypeError as error:
        raise RleError("not_numbers", "the coordinates are not lists of rings") from error
    if not rings:
        raise RleError("too_few_points", "the geometry has no polygon")
    return _checked(polygons.union(filled), rings, height, width)


def _points(pairs: Any) -> polygons.Points:
    """Read pairs of numbers; a last point equal to the first is left out.

    Raises:
        RleError: They are not numbers, not finite or fewer than three points.
    """
    if not isinstance(pairs, list):
        raise RleError("not_numbers", "an outline is not a list of points")
    numbers: list[tuple[float, float]] = []
    for pair in pairs:
        # GeoJSON allows a third number, a height, which an image has no use for.
        if not isinstance(pair, list) or len(pair) < 2 or not all(map(_is_number, pair[:2])):
            raise RleError("not_numbers", f"{repr(pair)[:60]} is not a pair of numbers")
        numbers.append((pair[0], pair[1]))
    try:
        points = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    except OverflowError:
        points = np.full((3, 2), np.inf)
    if not np.isfinite(points).all():
        raise RleError("not_finite", "a coordinate is not a finite number")
    if len(points) > 1 and np.array_equal(points[0], points[-1]):
        points = points[:-1]
    if len(np.unique(points, axis=0)) < 3:
        raise RleError("too_few_points", f"{len(points)} points do not make an area")
    return points


def _checked(
    runs: rle.Runs, outlines: list[polygons.Points], height: int, width: int
) -> tuple[rle.Runs, list[Note]]:
    notes = []
    low = np.min([points.min(axis=0) for points in outlines], axis=0)
    high = np.max([points.max(axis=0) for points in outlines], axis=0)
    if np.any(high <= 0) or low[0] >= width or low[1] >= height:
        raise RleError("out_of_bounds", f"the outline is outside of the {width}x{height} image")
    if np.any(low < 0) or high[0] > width or high[1] > height:
        notes.append(
            Note("cut_off", f"the outline leaves the {width}x{height} image; what is inside counts")
        )
    if any(polygons.crosses_itself(points) for points in outlines):
        notes.append(
            Note("self_intersecting", "the outline crosses itself; the even-odd rule decides")
        )
    if not len(runs):
        notes.append(Note("covers_no_pixel", "the outline is too small to cover a pixel"))
    return runs, notes


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

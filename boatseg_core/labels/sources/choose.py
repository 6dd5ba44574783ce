"""Which kind of label file is this?"""

from __future__ import annotations

from pathlib import Path

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.labels.sources.base import LabelSource
from boatseg_core.labels.sources.coco import Coco
from boatseg_core.labels.sources.geojson import GeoJson
from boatseg_core.labels.sources.json_stream import stream
from boatseg_core.labels.sources.rle_csv import RleCsv

SUFFIXES = (".csv", ".tsv", ".json", ".geojson")
"""Endings of the files that are taken for label files in a folder, in lower case."""


def open_source(path: Path, settings: Settings, *, stem: str = "") -> LabelSource:
    """Pick the reader of a label file: JSON by what is in it, everything else is CSV.

    Args:
        path: The file.
        settings: For ``labels``.
        stem: Image that a file which names none is about; by default its own stem.

    Raises:
        InputError: The file cannot be read, or is JSON of another kind.
    """
    labels = settings.labels
    suffix = path.suffix.lower()
    if suffix == ".geojson" or (suffix == ".json" and _json_kind(path) == "geojson"):
        return GeoJson(
            path, labels.image_property, labels.category_property, labels.categories, stem
        )
    if suffix == ".json":
        return Coco(path, labels.categories)
    return RleCsv(path, labels.image_column, labels.mask_column)


def _json_kind(path: Path) -> str:
    for key, _, value in stream(path):
        if key == "features" or (key == "type" and value in ("FeatureCollection", "Feature")):
            return "geojson"
        if key in ("images", "annotations", "categories"):
            return "coco"
    raise InputError(
        f"label file {path} is JSON, but neither COCO (images, annotations, categories) nor "
        "GeoJSON (a FeatureCollection)"
    )

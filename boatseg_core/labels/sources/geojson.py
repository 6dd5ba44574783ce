"""Read GeoJSON (RFC 7946) whose coordinates are pixels.

x is counted to the right and y downwards from the image's top left corner, so that the pixel in
column c and row r is the square from (c, r) to (c + 1, r + 1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from boatseg_core.errors import InputError
from boatseg_core.labels.sources.base import Annotation, Item, Problem
from boatseg_core.labels.sources.json_stream import stream

_SHAPES = ("Polygon", "MultiPolygon")


@dataclass(frozen=True)
class GeoJson:
    """A GeoJSON file as a label source.

    A feature names its image in a property; in a file whose features do not, the image is the one
    of the file's own stem. A feature without geometry labels its image as empty, and so does a
    file without features.

    Attributes:
        path: The file.
        image_property: Property with the image's name.
        category_property: Property with the category.
        categories: Categories that are objects; empty for all.
        stem: Image a feature without the property belongs to; the file's own by default.
    """

    path: Path
    image_property: str = "image"
    category_property: str = "category"
    categories: tuple[str, ...] = ()
    stem: str = ""
    kind: Literal["geojson"] = "geojson"

    def check(self) -> None:
        """Look for a member ``features``, or a type of GeoJSON.

        Raises:
            InputError: There is neither.
        """
        for key, _, value in stream(self.path):
            if key == "features" or (key == "type" and value in ("FeatureCollection", "Feature")):
                return
        raise InputError(f"label file {self.path} is neither a FeatureCollection nor a Feature")

    def rows(self) -> Iterator[Item]:
        """Stream the features."""
        stem = self.stem or self.path.stem
        whole: dict[str, Any] = {}
        is_collection = named = empty = False
        for key, number, value in stream(self.path):
            if key != "features":
                if number is None:
                    whole[key] = value
                continue
            is_collection = True
            if number is None:
                empty = True
                continue
            empty = False
            for item in self._feature(number, value, stem, named):
                named = named or (isinstance(item, Annotation) and not item.by_stem)
                yield item
        if not is_collection:
            yield from self._feature(0, whole, stem, False)
        elif empty:
            yield Annotation(stem, "", 1, "geojson", element="/features", by_stem=True)

    def _feature(self, number: int, value: Any, stem: str, named: bool) -> Iterator[Item]:
        element, line = f"/features/{number}", number + 1

        def problem(image_id: str, reason: str, message: str) -> Problem:
            return Problem(image_id, line, reason, f"{element} {message}", element)

        if not isinstance(value, dict):
            yield problem("", "not_an_object", "is not a JSON object")
            return
        properties = value.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        name = properties.get(self.image_property)
        if name is None and named:
            yield problem(
                "", "no_image", f"has no property {self.image_property!r}, unlike those before"
            )
            return
        if name is not None and (not isinstance(name, str) or not name):
            yield problem("", "no_image", f"names its image {name!r}, which is no name")
            return
        image_id, by_stem = (stem, True) if name is None else (name, False)
        geometry = value.get("geometry")
        category = properties.get(self.category_property)
        category = None if category is None else str(category)
        text = ""
        if geometry is not None and self._wanted(category):
            if not isinstance(geometry, dict) or geometry.get("type") not in _SHAPES:
                found = geometry.get("type") if isinstance(geometry, dict) else geometry
                text = json.dumps({"type": found}, separators=(",", ":"))
            else:
                shape = {key: geometry.get(key) for key in ("type", "coordinates")}
                text = json.dumps(shape, separators=(",", ":"), ensure_ascii=False)
        yield Annotation(
            image_id,
            text,
            line,
            "geojson",
            element=element,
            by_stem=by_stem,
            category=category if text else None,
        )

    def _wanted(self, category: str | None) -> bool:
        return not self.categories or category in self.categories

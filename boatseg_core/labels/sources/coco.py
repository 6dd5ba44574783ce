"""Read COCO files: ``images``, ``annotations`` and ``categories`` in one JSON object.

Format: https://cocodataset.org/#format-data (object detection). The file is read twice, first for
images and categories, since annotations may stand before them; annotations are never held.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from boatseg_core.errors import InputError
from boatseg_core.labels.sources.base import Annotation, Item, Kind, Problem
from boatseg_core.labels.sources.json_stream import stream

_KEYS = ("images", "annotations", "categories")


@dataclass(slots=True)
class _Image:
    name: str
    width: int | None
    height: int | None
    number: int
    annotated: bool = False


@dataclass(frozen=True)
class Coco:
    """A COCO file as a label source.

    An image without annotations is labelled as empty, and so is one that only has annotations of
    other categories than the wanted ones.

    Attributes:
        path: The file.
        categories: Names of the categories that are objects; empty for all.
    """

    path: Path
    categories: tuple[str, ...] = ()
    kind: Literal["coco"] = "coco"

    def check(self) -> None:
        """Look for the first of the members that a COCO file has.

        Raises:
            InputError: There is none.
        """
        for key, _, _ in stream(self.path):
            if key in _KEYS:
                return
        raise InputError(f"label file {self.path} has none of the COCO members {', '.join(_KEYS)}")

    def rows(self) -> Iterator[Item]:
        """Stream the annotations, then the images without any."""
        images: dict[int | str, _Image] = {}
        categories: dict[int | str, str] = {}
        yield from self._index(images, categories)
        for key, number, value in stream(self.path):
            if key == "annotations" and number is not None:
                yield from self._annotation(number, value, images, categories)
        for image in images.values():
            if not image.annotated:
                yield Annotation(
                    image.name,
                    "",
                    image.number + 1,
                    "coco_polygon",
                    image.width,
                    image.height,
                    f"/images/{image.number}",
                )

    def _index(
        self, images: dict[int | str, _Image], categories: dict[int | str, str]
    ) -> Iterator[Problem]:
        for key, number, value in stream(self.path):
            if number is None or key not in ("images", "categories"):
                continue
            name = _text(value, "file_name" if key == "images" else "name") or ""
            known = images if key == "images" else categories
            reason = _unusable(value, name, known)
            if reason is not None:
                what = f"/{key}/{number}"
                yield Problem(name, number + 1, reason[0], f"{what} {reason[1]}", what)
            elif key == "images":
                images[value["id"]] = _Image(
                    name, _size(value.get("width")), _size(value.get("height")), number
                )
            else:
                categories[value["id"]] = name

    def _annotation(
        self,
        number: int,
        value: Any,
        images: dict[int | str, _Image],
        categories: dict[int | str, str],
    ) -> Iterator[Item]:
        element, line = f"/annotations/{number}", number + 1

        def problem(image_id: str, reason: str, message: str) -> Problem:
            return Problem(image_id, line, reason, f"{element} {message}", element)

        if not isinstance(value, dict):
            yield problem("", "not_an_object", "is not a JSON object")
            return
        image = images.get(_key(value.get("image_id")))
        category = categories.get(_key(value.get("category_id")))
        name = "" if image is None else image.name
        if category is None and ("category_id" in value) and categories:
            yield problem(
                name, "dangling_category", f"names category {value['category_id']!r}, not listed"
            )
        if image is not None:
            image.annotated = image.annotated or not self.categories or category in self.categories
        if self.categories and category not in self.categories:
            return
        segmentation = value.get("segmentation")
        kind: Kind = "coco_rle" if isinstance(segmentation, dict) else "coco_polygon"
        yield Annotation(
            name,
            json.dumps(segmentation, separators=(",", ":"), ensure_ascii=False),
            line,
            kind,
            None if image is None else image.width,
            None if image is None else image.height,
            element,
            category=category,
            crowd=value.get("iscrowd") in (1, True),
        )
        if image is None:
            yield problem(
                "", "dangling_image", f"names image {value.get('image_id')!r}, not listed"
            )


def _unusable(value: Any, name: str, known: dict[int | str, Any]) -> tuple[str, str] | None:
    """Say why an image or a category cannot be used: reason and sentence."""
    if not isinstance(value, dict):
        return "not_an_object", "is not a JSON object"
    if _key(value.get("id")) == "" or not name:
        return "incomplete", "has no id or no name"
    if value["id"] in known:
        return "duplicate_id", f"has the id {value['id']!r} of an earlier one; that one counts"
    return None


def _key(value: Any) -> int | str:
    """An id that can be looked up; the empty string for one that cannot be an id."""
    usable = isinstance(value, int | str) and not isinstance(value, bool)
    return value if usable else ""


def _text(value: Any, key: str) -> str | None:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _size(value: Any) -> int | None:
    # Pixels, as the table's int32 holds them; anything else says nothing about the size.
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    return value if usable else None

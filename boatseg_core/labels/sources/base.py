"""What every kind of label file is read as."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol, TypeAlias

SourceKind = Literal["csv", "coco", "geojson", "mask"]
Kind = Literal["rle", "coco_rle", "coco_polygon", "geojson", "mask"]


class Annotation(NamedTuple):
    """One row of ``raw_masks``: an object, or the statement that an image has none.

    Attributes:
        image_id: The image's name as the file has it.
        text: The annotation as its kind writes it; empty for an image without objects, ``None``
            where the row says nothing.
        line: Line of a text file, counted from 1 with the header; else number of the element.
        kind: How ``text`` is written.
        width: Width the annotation was drawn on, in pixels, where the file says so.
        height: Height it was drawn on.
        element: Where in a file without lines.
        by_stem: Whether ``image_id`` is the image's name without its ending.
        category: Category, where the file has any.
        crowd: Whether it marks a crowd of objects.
    """

    image_id: str
    text: str | None
    line: int
    kind: Kind = "rle"
    width: int | None = None
    height: int | None = None
    element: str | None = None
    by_stem: bool = False
    category: str | None = None
    crowd: bool | None = None


class Problem(NamedTuple):
    """Something in a file that is no usable annotation of any image.

    Attributes:
        image_id: The image's name, empty where the file names none.
        line: As in :class:`Annotation`.
        reason: Short machine-readable reason.
        message: The reason in a sentence.
        element: As in :class:`Annotation`.
    """

    image_id: str
    line: int
    reason: str
    message: str
    element: str | None = None


Item: TypeAlias = "Annotation | Problem"


class LabelSource(Protocol):
    """A label file."""

    @property
    def kind(self) -> SourceKind:
        """Kind of file."""

    def check(self) -> None:
        """Look at the head of the file.

        Raises:
            InputError: It is not a file of this kind.
        """

    def rows(self) -> Iterator[Item]:
        """Stream what the file says; the same file always gives the same items.

        Raises:
            InputError: The file cannot be read to its end.
        """

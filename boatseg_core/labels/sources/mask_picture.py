"""Read a mask picture as objects: one per value, or one per connected region.

=====================================  =======================================================
the picture has                        objects
=====================================  =======================================================
JPEG of any content                    8-connected regions of what is 128 or brighter
one value besides 0                    8-connected regions of that value
several values (grey, palette index)   one per value, in one piece or not
several colours                        one per colour other than black
=====================================  =======================================================

0, black and whatever is fully transparent are background. ``labels.mask_values`` overrides the
choice: ``components`` for grey masks with soft edges (the threshold is 128 then, also below several
values), ``values`` where even one value is one object.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from boatseg_core.errors import InputError
from boatseg_core.imaging import components, rle
from boatseg_core.imaging.mask_png import THRESHOLD
from boatseg_core.labels.sources.base import Annotation

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Endings of the files that are taken for mask pictures, in lower case."""

MAX_OBJECTS = 65_535
"""A picture with more values or regions is noise, or not a mask."""

INSTANCES = ("boatseg", "instances")
"""Text chunk of a PNG that ``boatseg labels export`` wrote with one value per object."""

Values = Literal["auto", "values", "components"]
_FORMATS = ("PNG", "JPEG", "TIFF")


@dataclass(frozen=True)
class MaskPicture:
    """A mask picture as a label source.

    Attributes:
        path: The file.
        stem: The image's name without its ending.
        values: What tells objects apart.
        max_pixels: A larger picture is refused before its pixels are read.
    """

    path: Path
    stem: str
    values: Values = "auto"
    max_pixels: int = 80_000_000
    kind: Literal["mask"] = "mask"

    def check(self) -> None:
        """Nothing: the whole file is as quickly read."""

    def rows(self) -> Iterator[Annotation]:
        """Read the objects, or one row with no run lengths for an empty mask.

        Raises:
            InputError: The picture cannot be read or has too many pixels or objects.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"mask {self.path} cannot be read: {error.strerror}") from error
        yield from read_mask(
            data, self.stem, where=f"mask {self.path}", values=self.values, limit=self.max_pixels
        )


def read_mask(
    data: bytes, stem: str, *, where: str, values: Values = "auto", limit: int = 80_000_000
) -> list[Annotation]:
    """Turn the bytes of a mask picture into annotations.

    Args:
        data: The file's bytes.
        stem: The image's name without its ending.
        where: The file, for messages.
        values: What tells objects apart.
        limit: Most pixels.

    Raises:
        InputError: See :meth:`MaskPicture.rows`.
    """
    pixels, lossy, said = _pixels(data, where, limit)
    if said and values == "auto":
        values = "values"
    height, width = pixels.shape
    found = _objects(pixels, lossy, values)
    if len(found) > MAX_OBJECTS:
        raise InputError(f"{where} has {len(found):,} objects, more than {MAX_OBJECTS:,}: no mask")
    found = found or [("", "")]
    return [
        Annotation(stem, text, number, "mask", width, height, element or None, by_stem=True)
        for number, (text, element) in enumerate(found, start=1)
    ]


def _pixels(data: bytes, where: str, limit: int) -> tuple[npt.NDArray[np.uint32], bool, bool]:
    """Decode to one number a pixel, 0 for background.

    Also says whether they are a JPEG's, and whether the file says that a value is an object.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            if opened.width * opened.height > limit:
                raise InputError(
                    f"{where} is {opened.width}x{opened.height}, more than {limit} pixels"
                )
            lossy = opened.format == "JPEG"
            said = opened.info.get(INSTANCES[0]) == INSTANCES[1]
            image = ImageOps.exif_transpose(opened)
            if lossy:
                return np.asarray(image.convert("L")).astype(np.uint32), True, False
            if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
                numbers = np.asarray(image)
                if numbers.min(initial=0) < 0:
                    raise InputError(f"{where} has negative values: it is no mask")
                return numbers.astype(np.uint32), False, said
            if image.mode not in ("LA", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
                raise InputError(f"{where} has pixels of the kind {image.mode}: it is no mask")
            rgba = np.asarray(image.convert("RGBA")).astype(np.uint32)
            colour = rgba[..., :3].dot(np.array([65536, 256, 1], dtype=np.uint32))
            grey = (rgba[..., 0] == rgba[..., 1]) & (rgba[..., 1] == rgba[..., 2])
            if grey.all():
                colour = rgba[..., 0]
            return np.where(rgba[..., 3] > 0, colour, 0).astype(np.uint32), False, said
    except UnidentifiedImageError as error:
        raise InputError(f"{where} is no PNG, JPEG or TIFF") from error
    except (InputError, MemoryError):
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError) as error:
        raise InputError(f"{where} is damaged: {error}") from error
    except (OverflowError, ZeroDivisionError, AttributeError, struct.error) as error:
        raise InputError(f"{where} is damaged: {error}") from error


def _objects(pixels: npt.NDArray[np.uint32], lossy: bool, values: Values) -> list[tuple[str, str]]:
    """List run lengths and the name of each object in the picture."""
    if lossy:
        return _regions(pixels >= THRESHOLD)
    column_major = np.ascontiguousarray(pixels.T).reshape(-1)
    edges = np.flatnonzero(np.diff(column_major)) + 1
    starts = np.concatenate(([0], edges))
    lengths = np.diff(starts, append=column_major.size)
    colours = column_major[starts]
    kept = colours > 0
    runs = np.stack((starts[kept], lengths[kept]), axis=1)
    colours = colours[kept]
    different = np.unique(colours)
    if values == "components" or (values == "auto" and len(different) <= 1):
        several = len(different) > 1 and int(different[-1]) >= THRESHOLD
        return _regions(pixels >= THRESHOLD if several else pixels > 0)
    if len(different) > MAX_OBJECTS:
        return [("", "")] * len(different)  # refused by their number alone
    order = np.argsort(colours, kind="stable")
    cuts = np.flatnonzero(np.diff(colours[order])) + 1
    return [
        (rle.to_text(part), f"value {value}")
        for part, value in zip(np.split(runs[order], cuts), different.tolist(), strict=True)
        if len(part)
    ]


def _regions(mask: rle.BoolMask) -> list[tuple[str, str]]:
    found = components.find(mask)
    if found.regions > MAX_OBJECTS:
        return [("", "")] * found.regions  # refused by their number alone
    order = np.argsort(found.region, kind="stable")
    runs = np.stack((found.column * mask.shape[0] + found.row, found.length), axis=1)[order]
    cuts = np.flatnonzero(np.diff(found.region[order])) + 1
    return [
        (rle.to_text(part), f"region {number}")
        for number, part in enumerate(np.split(runs, cuts), start=1)
        if len(part)
    ]

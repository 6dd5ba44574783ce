"""Damage, as it arrives in practice: broken files and broken label rows."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from boatseg_core.synth.plan import WINDOW
from boatseg_core.synth.scene import render_windows

__all__ = ["FILE_FAULTS", "ROW_FAULTS", "FaultFile", "fault_files", "fault_rows"]

FILE_FAULTS = ("truncated", "zero_bytes", "not_an_image", "wrong_size", "all_white")
"""Kinds of damaged files."""
ROW_FAULTS = ("odd_length", "not_integers", "out_of_bounds", "overlapping_runs", "missing_image")
"""Kinds of damaged label rows."""


@dataclass(frozen=True)
class FaultFile:
    """A damaged file.

    Attributes:
        stem: Its name without prefix and extension.
        kind: One of :data:`FILE_FAULTS`.
        data: Its bytes.
    """

    stem: str
    kind: str
    data: bytes


def _stem(seed: int, what: str) -> str:
    """A name of ten digits, one more than a good picture's, so that the two never clash."""
    return hashlib.blake2b(f"{seed}/{what}".encode(), digest_size=5).hexdigest()


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    return buffer.getvalue()


def _damage(kind: str, picture: Image.Image, number: int) -> bytes:
    """Makes the bytes of a damaged file from a good picture."""
    if kind == "truncated":
        whole = _jpeg(picture)
        return whole[: len(whole) // 2]
    if kind == "zero_bytes":
        return b""
    if kind == "not_an_image":
        return f"<html><body>404 Not Found (request {number})</body></html>\n".encode()
    if kind == "wrong_size":
        return _jpeg(picture.resize((64, 48)))
    return _jpeg(Image.new("RGB", (WINDOW, WINDOW), (255, 255, 255)))


def fault_files(seed: int, count: int) -> Iterator[FaultFile]:
    """Makes damaged files: one of every kind, and about one more for every forty good ones.

    Args:
        seed: Seed of the data set.
        count: Number of good pictures they are mixed with.

    Yields:
        The files; a larger ``count`` only adds some.
    """
    # Scenes far beyond any count: a truncated file must not be the twin of a good one.
    picture = Image.fromarray(np.ascontiguousarray(render_windows(seed, 2**31)[0].image))
    for number in range(len(FILE_FAULTS) * max(1, round(count / 200))):
        kind = FILE_FAULTS[number % len(FILE_FAULTS)]
        yield FaultFile(_stem(seed, f"{kind}-{number}"), kind, _damage(kind, picture, number))


def _bad_mask(kind: str) -> str:
    last = WINDOW * WINDOW
    if kind == "odd_length":
        return "264661 17 265429"
    if kind == "not_integers":
        return "264661 17 2654x9 33"
    if kind == "out_of_bounds":
        return f"264661 17 {last - 5} 20"
    return "264661 17 264670 33"


def fault_rows(
    seed: int, rows: list[tuple[str, str]], good: list[tuple[str, bool]], prefix: str
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Replaces the labels of a few pictures by damaged ones and adds a row without a picture.

    Args:
        seed: Seed of the data set.
        rows: Good rows, ``(ImageId, EncodedPixels)``.
        good: ``(ImageId, has boats)`` of the good pictures, in order.
        prefix: Prefix of the file names.

    Returns:
        The rows with the damage, and ``(ImageId, kind)`` of each damaged row.
    """
    # Spoil empty pictures first: no boat loses its label.
    victims = [name for name, boats in good if not boats] + [name for name, boats in good if boats]
    spoiled = {name: kind for kind, name in zip(ROW_FAULTS[:-1], victims, strict=False)}
    kept = [row for row in rows if row[0] not in spoiled]
    damaged = [(name, _bad_mask(kind)) for name, kind in spoiled.items()]
    ghost = f"{prefix}{_stem(seed, 'missing')}.jpg"
    damaged.append((ghost, "264661 17 265429 33"))
    return kept + damaged, [*spoiled.items(), (ghost, ROW_FAULTS[-1])]

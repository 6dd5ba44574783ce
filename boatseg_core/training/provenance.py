"""What a training was made from, besides its parameters: the split and the software."""

from __future__ import annotations

import hashlib
import platform
import re
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boatseg_core.dataset import GoldDataset

_PACKAGE = re.compile(r"[\w.-]+")


def split_hash(gold: GoldDataset) -> str:
    """SHA-256 of which image is in which split, whatever order they are stored in."""
    rows = gold.index().select("image_id", "split").sort("image_id").iter_rows()
    digest = hashlib.sha256()
    for image_id, split in rows:
        digest.update(f"{image_id}\0{split}\n".encode())
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """Interpreter, system, and versions of everything this project asks for."""
    needs = (_PACKAGE.match(need) for need in metadata.requires("boatseg") or [])
    names = sorted({need[0] for need in needs if need})
    versions = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):  # of an extra that is not installed
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "boatseg": metadata.version("boatseg"),
        "packages": versions,
    }

"""Label files as they lie on disk."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.labels.sources import choose, mask_picture

MASK_FOLDER_SUFFIXES = (*mask_picture.SUFFIXES, ".geojson")
"""Endings of the files that are taken from the folder of masks, in lower case."""

MASKS = "masks"
"""What the names of these files begin with in ``raw_masks``, wherever their folder lies."""


@dataclass(frozen=True)
class LabelFile:
    """A label file as it lies on disk.

    Attributes:
        path: Absolute path.
        name: Name in the ledger: ``landing/...`` in the home's own folder, so that a home can be
            moved, else the path.
        source: Name in ``raw_masks``: the path below the folder it was found in.
        size_bytes: Size in bytes.
        mtime_ns: Time of last modification, nanoseconds since 1970.
    """

    path: Path
    name: str
    source: str
    size_bytes: int
    mtime_ns: int

    def again(self) -> LabelFile:
        """Look at the file once more.

        Raises:
            InputError: It is gone.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise InputError(f"label file {self.path} is gone: {error.strerror}") from error
        return LabelFile(self.path, self.name, self.source, status.st_size, status.st_mtime_ns)


def discover(settings: Settings) -> list[LabelFile]:
    """List the label files that the settings name, oldest first.

    Returns:
        The file itself, or the files with an ending of
        :data:`boatseg_core.labels.sources.choose.SUFFIXES` in the folder and below it; hidden
        ones, and those in the folders of images and masks, are left out.

    Raises:
        InputError: ``landing.labels`` names something that does not exist.
    """
    root = settings.labels_path
    if root.is_file():
        found = [(root, root.name)]
    elif root.is_dir():
        found = list(_walk(root, choose.SUFFIXES, {settings.images_folder, masks_folder(settings)}))
    elif settings.landing.labels:
        raise InputError(
            f"{root} does not exist: landing.labels names a label file or a folder of them"
        )
    else:
        found = []
    return _look(found, settings)


def discover_masks(settings: Settings) -> list[LabelFile]:
    """List the mask pictures, and the GeoJSON files beside them, oldest first.

    Raises:
        InputError: ``landing.masks`` names something that is no folder.
    """
    root = masks_folder(settings)
    if not root.is_dir():
        if settings.landing.masks:
            raise InputError(f"{root} is no folder: landing.masks names a folder of mask pictures")
        return []
    found = _walk(root, MASK_FOLDER_SUFFIXES, set())
    return _look([(path, f"{MASKS}/{source}") for path, source in found], settings)


def masks_folder(settings: Settings) -> Path:
    """The folder that mask pictures are dropped into."""
    given = settings.landing.masks
    return Path(given).expanduser() if given else settings.paths.landing / "masks"


def settled(file: LabelFile, settle_seconds: float) -> LabelFile:
    """Wait until a file has not changed for a while; a time in the future is not waited for."""
    age = time.time() - file.mtime_ns / 1e9
    if 0 <= age < settle_seconds:
        time.sleep(settle_seconds - age)
    return file.again()


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(root: Path, suffixes: tuple[str, ...], closed: set[Path]) -> Iterator[tuple[Path, str]]:
    shut = {str(path.absolute()) for path in closed}
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and str((Path(folder) / name).absolute()) not in shut
        ]
        for name in names:
            if name.startswith(".") or not name.lower().endswith(suffixes):
                continue
            path = Path(folder) / name
            yield path, path.relative_to(root).as_posix()


def _look(found: list[tuple[Path, str]], settings: Settings) -> list[LabelFile]:
    landing = settings.paths.landing
    files = []
    for path, source in found:
        absolute = path.absolute()
        try:
            name = str(absolute)
            name.encode()  # a name that is not UTF-8 fits no table
            status = absolute.stat()
        except (OSError, UnicodeEncodeError):  # gone since it was listed, or cannot be named
            continue
        if not absolute.is_file():
            continue
        if absolute.is_relative_to(landing):
            name = f"landing/{absolute.relative_to(landing).as_posix()}"
        files.append(LabelFile(absolute, name, source, status.st_size, status.st_mtime_ns))
    return sorted(files, key=lambda file: (file.mtime_ns, file.name))

"""Take label files into ``raw_masks``, each content once, however often and from wherever called.

A file is two kinds of commits: its rows, under application transactions named by content and path,
then one row in the ``label_files`` ledger. Rows without their ledger row do not count yet; the
next call completes them under the version they already carry. A file that breaks off in the middle
gets a ledger row of version 0, so that a sensor does not ask for it until it changes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.labels.rle_csv import LabelRow, read_rows
from boatseg_core.lake import Lake

# Text held in memory at once. Part boundaries are part of the transactions' names: a change makes
# a file that was interrupted half-way start over under a new version.
_PART_BYTES = 32 * 2**20


@dataclass(frozen=True)
class LabelFile:
    """A label file as it lies on disk.

    Attributes:
        path: Absolute path.
        name: Name in the ledger: ``landing/...`` in the home's own folder, so that a home can be
            moved, else the path.
        size_bytes: Size in bytes.
        mtime_ns: Time of last modification, nanoseconds since 1970.
    """

    path: Path
    name: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class LoadSummary:
    """What one call of :func:`load` did.

    Attributes:
        rows: Rows taken.
        images: Different image names in them.
        files: Paths of the files taken.
        skipped: Files left alone because their content is known.
        refused: Files that could not be used: path and message.
        label_version: Newest label version; 0 before the first file.
    """

    rows: int = 0
    images: int = 0
    files: list[str] = field(default_factory=list)
    skipped: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    label_version: int = 0


def discover(settings: Settings) -> list[LabelFile]:
    """List the label files that the settings name, oldest first.

    Returns:
        The file itself, or the CSV files directly in the folder (hidden ones are left out).

    Raises:
        InputError: ``landing.labels`` names something that does not exist.
    """
    root = settings.labels_path
    if root.is_file():
        paths = [root]
    elif root.is_dir():
        paths = [
            path
            for path in root.iterdir()
            if path.suffix.lower() == ".csv" and not path.name.startswith(".") and path.is_file()
        ]
    elif settings.landing.labels:
        raise InputError(f"{root} does not exist: landing.labels names a CSV file or its folder")
    else:
        paths = []
    files = [_look(path.absolute(), _name(path.absolute(), settings)) for path in paths]
    return sorted(files, key=lambda file: (file.mtime_ns, file.name))


def new_files(lake: Lake, settings: Settings) -> list[LabelFile]:
    """List the label files :func:`load` would read; cheap enough for a sensor.

    Files that cannot be used are not among them (asking for them would never end): those without
    the label columns, and those :func:`load` found to be broken.

    Raises:
        InputError: See :func:`discover`.
    """
    return [file for file in _unknown(lake, settings, 0) if _has_columns(file, settings)]


def check_usable(settings: Settings) -> None:
    """Make sure that at least one label file has the two columns, before anything is done.

    Raises:
        InputError: There is no label file, or none can be used; the first one's problem is named.
    """
    files = discover(settings)
    if not files:
        raise InputError(f"{settings.labels_path} holds no CSV file with masks")
    problems: list[InputError] = []
    for file in files:
        try:
            next(_rows(file, settings), None)
        except InputError as error:
            problems.append(error)
    if len(problems) == len(files):
        raise problems[0]


def load(lake: Lake, settings: Settings) -> LoadSummary:
    """Append every new or changed label file to ``raw_masks``, exactly once.

    A file younger than ``landing.settle_seconds`` is waited for.

    Returns:
        What was taken. In a folder, a file that cannot be used is listed and does not stop others.

    Raises:
        InputError: The labels path does not exist, or none of its files can be used.
    """
    found = discover(settings)
    unknown = _unknown(lake, settings, 1)  # broken files again: their message is due each time
    rows, images, taken, refused = 0, set[str](), list[str](), dict[str, str]()
    for file in unknown:
        try:
            count = _load_file(lake, settings, file, images)
        except InputError as error:
            refused[str(file.path)] = str(error)
            continue
        if count is not None:
            rows += count
            taken.append(str(file.path))
    if refused and len(refused) == len(found):
        raise InputError("; ".join(refused.values()))
    return LoadSummary(
        rows=rows,
        images=len(images),
        files=taken,
        skipped=len(found) - len(taken) - len(refused),
        refused=refused,
        label_version=_newest_version(lake, "label_files"),
    )


def _look(path: Path, name: str) -> LabelFile:
    status = path.stat()
    return LabelFile(path, name, status.st_size, status.st_mtime_ns)


def _name(path: Path, settings: Settings) -> str:
    landing = settings.paths.landing
    if path.is_relative_to(landing):
        return f"landing/{path.relative_to(landing).as_posix()}"
    return str(path)


def _unknown(lake: Lake, settings: Settings, least_version: int) -> list[LabelFile]:
    """List the files that no ledger row of at least that label version knows as they are now."""
    ledger = lake.read("label_files", ["path", "size_bytes", "mtime_ns", "label_version"])
    ledger = ledger.filter(pl.col("label_version") >= least_version).drop("label_version")
    known = set(ledger.iter_rows())
    return [
        file
        for file in discover(settings)
        if (file.name, file.size_bytes, file.mtime_ns) not in known
    ]


def _rows(file: LabelFile, settings: Settings) -> Iterator[LabelRow]:
    return read_rows(
        file.path,
        image_column=settings.labels.image_column,
        mask_column=settings.labels.mask_column,
    )


def _has_columns(file: LabelFile, settings: Settings) -> bool:
    try:
        next(_rows(file, settings), None)
    except InputError:
        return False
    return True


def _load_file(lake: Lake, settings: Settings, file: LabelFile, images: set[str]) -> int | None:
    """Take one file; return its rows, or ``None`` when its content was known."""
    file = _settled(file, settings.landing.settle_seconds)
    next(_rows(file, settings), None)  # refuse another kind of file before all of it is hashed
    sha256 = _hash(file.path)
    # Before the look for another process's transaction: whoever is not seen there has taken, or
    # will take, this very number, and one of the two appends is skipped.
    newest = max(_newest_version(lake, "label_files"), _newest_version(lake, "raw_masks"))
    history = (
        lake.read("label_files")
        .filter(pl.col("path") == file.name, pl.col("label_version") > 0)
        .sort("label_version", "loaded_at")
    )
    if history.height and history["sha256"][-1] == sha256:
        # Touched, not changed: remember the new time, so that nobody hashes it again.
        _record(lake, file, sha256, history["label_version"][-1], rows=0)
        return None
    done = history.filter(pl.col("sha256") == sha256)["label_version"].to_list()
    name = f"labels/{sha256}/{file.name}"
    begun = lake.create("raw_masks").transaction_version(f"{name}/0")
    # Begun and not done: it was interrupted before its ledger row, or another process is at it.
    version = begun if begun is not None and begun not in done else newest + 1
    rows = 0
    try:
        for number, part in enumerate(_parts(_rows(file, settings), file.path.name, version)):
            lake.append("raw_masks", part, app_id=f"{name}/{number}", app_version=version)
            rows += part.height
            images.update(part["image_id"].unique().to_list())
    except InputError:
        _record(lake, file, sha256, 0, rows=0)
        raise
    if _look(file.path, file.name) != file:
        raise InputError(f"label file {file.path} changed while it was read: run again")
    _record(lake, file, sha256, version, rows=rows)
    return rows


def _record(lake: Lake, file: LabelFile, sha256: str, version: int, *, rows: int) -> None:
    now = dt.datetime.now(dt.UTC)
    row = {
        "path": file.name,
        "size_bytes": file.size_bytes,
        "mtime_ns": file.mtime_ns,
        "sha256": sha256,
        "label_version": version,
        "rows": rows,
        "loaded_at": now,
        "source_file": file.path.name,
        "kind": "csv",
    }
    lake.append(
        "label_files",
        pl.DataFrame([row]),
        app_id=f"label-file/{file.name}/{sha256}/{version}/{file.mtime_ns}",
    )


def _parts(rows: Iterator[LabelRow], source: str, version: int) -> Iterator[pl.DataFrame]:
    """Cut rows into frames of bounded size; the same file is always cut the same way."""
    part: list[LabelRow] = []
    size = 0
    for row in rows:
        part.append(row)
        size += 100 + len(row.encoded_pixels or "")
        if size >= _PART_BYTES:
            yield _frame(part, source, version)
            part, size = [], 0
    if part:
        yield _frame(part, source, version)


def _frame(rows: list[LabelRow], source: str, version: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "image_id": [row.image_id for row in rows],
            "encoded_pixels": [row.encoded_pixels for row in rows],
            "source_file": [source] * len(rows),
            "line": [row.line for row in rows],
            "label_version": [version] * len(rows),
            "kind": ["rle"] * len(rows),
        },
        schema_overrides={"encoded_pixels": pl.String},
    ).with_columns(
        pl.lit(None).alias(name)
        for name in ("width", "height", "element", "by_stem", "category", "crowd", "sha256")
    )


def _settled(file: LabelFile, settle_seconds: float) -> LabelFile:
    """Wait until a file has not changed for a while; a time in the future is not waited for."""
    age = time.time() - file.mtime_ns / 1e9
    if 0 <= age < settle_seconds:
        time.sleep(settle_seconds - age)
    try:
        return _look(file.path, file.name)
    except OSError as error:
        raise InputError(f"label file {file.path} is gone: {error.strerror}") from error


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _newest_version(lake: Lake, table: str) -> int:
    newest = lake.scan(table).select(pl.col("label_version").max()).collect().item()
    return int(newest or 0)

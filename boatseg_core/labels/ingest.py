"""Take label files into ``raw_masks``, each content once, however often and from wherever called.

A file is two kinds of commits: its rows, under application transactions named by content and path,
then one row in the ``label_files`` ledger. Rows without their ledger row do not count yet; the
next call completes them under the version they already carry. A file that cannot be used gets a
ledger row of version 0, so that a sensor does not ask for it until it changes. Mask pictures, of
which there is one an image, are taken many at a time: :mod:`boatseg_core.labels.mask_folder`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.labels import file_issues, ledger
from boatseg_core.labels.file_issues import Collector
from boatseg_core.labels.files import LabelFile, digest, discover, discover_masks, settled
from boatseg_core.labels.mask_folder import load_masks
from boatseg_core.labels.sources.base import Annotation, LabelSource, Problem
from boatseg_core.labels.sources.choose import open_source
from boatseg_core.lake import Lake

# Text held in memory at once. Part boundaries are part of the transactions' names: a change makes
# a file that was interrupted half-way start over under a new version.
_PART_BYTES = 32 * 2**20
_hash = digest


@dataclass(frozen=True)
class LoadSummary:
    """What one call of :func:`load` did.

    Attributes:
        rows: Rows taken.
        images: Different image names in them.
        files: Paths of the files taken.
        skipped: Files left alone because their content is known.
        refused: Files that could not be used: path and message.
        issues: Elements of the files taken that are no usable annotation of any image.
        label_version: Newest label version; 0 before the first file.
    """

    rows: int = 0
    images: int = 0
    files: list[str] = field(default_factory=list)
    skipped: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    issues: int = 0
    label_version: int = 0


def new_files(lake: Lake, settings: Settings) -> list[LabelFile]:
    """List the label files :func:`load` would read; cheap enough for a sensor.

    Files found to be unusable are not among them (asking for them would never end), unless their
    head can be read by now, since settings say what it has to look like.

    Raises:
        InputError: A path in the settings does not exist.
    """
    files = discover(settings)
    waiting = ledger.unknown(lake, files, ledger.REFUSED)
    refused = lake.read("label_files", ["path", "label_version", "sha256"]).filter(
        pl.col("label_version") == ledger.REFUSED, pl.col("sha256") == ""
    )
    # Settings say what the head of a CSV looks like; what JSON is, none of them changes.
    names = {path for path in refused["path"] if not path.lower().endswith("json")}
    again = [
        file
        for file in ledger.unknown(lake, [f for f in files if f.name in names], 1)
        if file not in waiting and _is_readable(file, settings)
    ]
    masks = ledger.unknown(lake, discover_masks(settings), ledger.REFUSED)
    return [*waiting, *again, *masks]


def check_usable(settings: Settings) -> None:
    """Make sure that at least one label file can be used, before anything is done.

    Raises:
        InputError: There is no label file, or none can be used; the first one's problem is named.
    """
    files = discover(settings)
    if discover_masks(settings):
        return
    if not files:
        raise InputError(f"{settings.labels_path} holds no file with masks (CSV, COCO, GeoJSON)")
    problems: list[InputError] = []
    for file in files:
        try:
            open_source(file.path, settings).check()
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
        InputError: A path in the settings does not exist, or none of the files can be used.
    """
    found = discover(settings)
    pictures = discover_masks(settings)
    waiting = ledger.unknown(lake, found, 1)  # broken files again: their message is due each time
    rows, issues, taken, refused = 0, 0, list[LabelFile](), dict[str, str]()
    for file in waiting:
        try:
            done = _load_file(lake, settings, file)
        except InputError as error:
            refused[str(file.path)] = str(error)
            continue
        if done is not None:
            rows, issues = rows + done[0], issues + done[1]
            taken.append(file)
    masks = load_masks(lake, settings, pictures)
    refused |= masks.refused
    taken += masks.taken
    file_issues.clear_gone(lake, [*found, *pictures])
    if refused and len(refused) == len(found) + len(pictures):
        raise InputError(_few(list(refused.values())))
    return LoadSummary(
        rows=rows + masks.rows,
        images=_count_images(lake, taken),
        files=[str(file.path) for file in taken],
        skipped=len(found) + len(pictures) - len(taken) - len(refused),
        refused=refused,
        issues=issues,
        label_version=_newest(lake),
    )


def _few(messages: list[str]) -> str:
    shown = "; ".join(messages[:3])
    return shown if len(messages) <= 3 else f"{shown}; and {len(messages) - 3:,} more files"


def _newest(lake: Lake) -> int:
    newest = lake.scan("label_files").select(pl.col("label_version").max()).collect().item()
    return int(newest or 0)


def _count_images(lake: Lake, taken: list[LabelFile]) -> int:
    """Count the names in the newest rows of some files."""
    if not taken:
        return 0
    names = pl.Series([file.name for file in taken])
    versions = (
        lake.scan("label_files")
        .filter(pl.col("path").is_in(names.implode()))
        .group_by("path")
        .agg(pl.col("label_version").max(), pl.col("source_file").last())
        .select("label_version", "source_file")
    )
    rows = lake.scan("raw_masks").select("image_id", "label_version", "source_file")
    rows = rows.join(versions, on=["label_version", "source_file"], how="semi")
    return int(rows.select(pl.col("image_id").n_unique()).collect().item())


def _is_readable(file: LabelFile, settings: Settings) -> bool:
    try:
        open_source(file.path, settings).check()
    except InputError:
        return False
    return True


def _load_file(lake: Lake, settings: Settings, file: LabelFile) -> tuple[int, int] | None:
    """Take one file; return its rows and issues, or ``None`` when its content was known."""
    file = settled(file, settings.landing.settle_seconds)
    try:
        source = open_source(file.path, settings)
        source.check()  # refuse another kind of file before all of it is hashed
    except InputError as error:
        _refuse(lake, file, "", error)
        raise
    sha256 = _hash(file.path)
    # Before the look for another process's transaction: whoever is not seen there has taken, or
    # will take, this very number, and one of the two appends is skipped.
    newest = ledger.newest_version(lake)
    history = (
        lake.read("label_files")
        .filter(pl.col("path") == file.name, pl.col("label_version") > ledger.REFUSED)
        .sort("label_version", "loaded_at")
    )
    if history.height and history["sha256"][-1] == sha256:
        # Touched, not changed: remember the new time, so that nobody hashes it again.
        _record(lake, file, source.kind, sha256, history["label_version"][-1], rows=0)
        return None
    name = f"labels/{sha256}/{file.name}"
    begun = lake.create("raw_masks").transaction_version(f"{name}/0")
    # Begun and not done: it was interrupted before its ledger row, or another process is at it.
    # Where the path has been read with other content since, that would be in force for ever.
    since = max(history["label_version"].to_list(), default=0)
    version = begun if begun is not None and begun > since else newest + 1
    rows, problems = 0, Collector()
    try:
        for number, part in enumerate(_parts(source, problems)):
            frame = ledger.frame(part, file, sha256, version)
            lake.append("raw_masks", frame, app_id=f"{name}/{number}", app_version=version)
            rows += len(part)
    except InputError as error:
        _refuse(lake, file, sha256, error)
        raise
    if file.again() != file:
        raise InputError(f"label file {file.path} changed while it was read: run again")
    # Issues first: where a file counts, its issues are told.
    file_issues.write(lake, {file: problems.problems()}, version)
    _record(lake, file, source.kind, sha256, version, rows=rows)
    return rows, problems.count


def _refuse(lake: Lake, file: LabelFile, sha256: str, error: InputError) -> None:
    """Remember that a file cannot be used as it is, and why."""
    problem = Problem("", 0, file_issues.UNUSABLE, str(error))
    file_issues.write(lake, {file: [problem]}, ledger.REFUSED)
    _record(lake, file, "", sha256, ledger.REFUSED, rows=0)


def _record(
    lake: Lake, file: LabelFile, kind: str, sha256: str, version: int, *, rows: int
) -> None:
    lake.append(
        "label_files",
        pl.DataFrame([ledger.row(file, kind, sha256, version, rows)]),
        app_id=f"label-file/{file.name}/{sha256}/{version}/{file.mtime_ns}",
    )


def _parts(source: LabelSource, problems: Collector) -> Iterator[list[Annotation]]:
    """Cut rows into parts of bounded size; the same file is always cut the same way."""
    part: list[Annotation] = []
    size = 0
    for item in source.rows():
        if isinstance(item, Problem):
            problems.add(item)
            continue
        part.append(item)
        size += 100 + len(item.text or "")
        if size >= _PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part

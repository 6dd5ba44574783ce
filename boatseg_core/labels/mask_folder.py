"""Take a folder of mask pictures into ``raw_masks``: a thousand files a commit, each file once.

A commit is a label version of its own. Its rows name their files and contents, so that a call that
finds rows without their ledger rows, left by one that was cut off, completes those and reads the
files no second time. Commits follow each other through one application transaction: whoever was
slower looks again at what is left to do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.labels import file_issues, ledger
from boatseg_core.labels.files import MASKS, LabelFile, digest, settled
from boatseg_core.labels.sources.base import Annotation, LabelSource, Problem
from boatseg_core.labels.sources.choose import open_source
from boatseg_core.labels.sources.mask_picture import SUFFIXES, MaskPicture
from boatseg_core.lake import Lake

_MOST_FILES = 1000
_PART_BYTES = 32 * 2**20
_CHAIN = "label-masks"


@dataclass
class MasksLoaded:
    """What one call of :func:`load_masks` did.

    Attributes:
        rows: Rows taken.
        taken: Files taken.
        refused: Files that could not be used: path and message.
    """

    rows: int = 0
    taken: list[LabelFile] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass
class _Part:
    frames: list[pl.DataFrame] = field(default_factory=list)
    entries: list[dict[str, object]] = field(default_factory=list)
    files: list[LabelFile] = field(default_factory=list)
    problems: dict[LabelFile, Sequence[Problem]] = field(default_factory=dict)
    tried: set[LabelFile] = field(default_factory=set)
    refusals: list[tuple[LabelFile, str]] = field(default_factory=list)
    size: int = 0


def load_masks(lake: Lake, settings: Settings, files: Sequence[LabelFile]) -> MasksLoaded:
    """Append the objects of every new or changed mask picture, exactly once.

    Args:
        lake: The lake.
        settings: For ``labels``, ``decode.max_pixels`` and ``landing.settle_seconds``.
        files: The files of the folder.
    """
    done = MasksLoaded()
    tried: set[LabelFile] = set()
    alone = False
    while waiting := [file for file in ledger.unknown(lake, files, 1) if file not in tried]:
        seen = lake.create("raw_masks").transaction_version(_CHAIN) or 0
        if not alone and _complete(lake, waiting):
            continue
        version = ledger.newest_version(lake) + 1
        part = _read_part(lake, settings, waiting, version)
        if part.frames:
            rows = pl.concat(part.frames)
            committed = lake.append(
                "raw_masks", rows, app_id=_CHAIN, app_version=version, app_after=seen
            )
            alone = committed is not None
            if not alone:  # another process was faster: what is left to do has changed
                continue
            done.rows += rows.height
        file_issues.write(lake, part.problems, version)
        _record(lake, part.entries, version)
        tried |= part.tried
        done.taken += part.files
        done.refused |= {str(file.path): why for file, why in part.refusals}
    return done


def _complete(lake: Lake, files: Sequence[LabelFile]) -> bool:
    """Write the ledger rows that a commit's author did not get to; whether there were any."""
    by_source = {(file.source, digest_of): file for file, digest_of in _digests(lake, files)}
    if not by_source:
        return False
    left = _uncounted(lake).group_by("label_version", "source_file", "sha256").len().collect()
    entries: dict[int, list[dict[str, object]]] = {}
    for version, source, sha256, rows in left.iter_rows():
        file = by_source.get((source, sha256))
        if file is not None:
            entry = ledger.row(file, _kind(file), sha256, version, rows)
            entries.setdefault(version, []).append(entry)
    written = [_record(lake, found, version) for version, found in entries.items()]
    return any(written)


def _uncounted(lake: Lake) -> pl.LazyFrame:
    """Rows of mask pictures that no ledger row counts in, and none of a later version overtook."""
    since = lake.scan("label_files").group_by("source_file").agg(since=pl.max("label_version"))
    return (
        lake.scan("raw_masks")
        .filter(pl.col("source_file").str.starts_with(f"{MASKS}/"))
        .select("label_version", "source_file", "sha256")
        .join(since, on="source_file", how="left")
        .filter(pl.col("label_version") > pl.col("since").fill_null(0))
        .drop("since")
    )


def _digests(lake: Lake, files: Sequence[LabelFile]) -> list[tuple[LabelFile, str]]:
    """Hash the files that uncounted rows could be about."""
    names = set(_uncounted(lake).select("source_file").unique().collect()["source_file"])
    found = []
    for file in files:
        if file.source in names:
            try:
                found.append((file, digest(file.path)))
            except OSError:
                continue  # gone meanwhile: its rows stay uncounted
    return found


def _read_part(lake: Lake, settings: Settings, waiting: Sequence[LabelFile], version: int) -> _Part:
    ledger_rows = (
        lake.read(
            "label_files",
            ["path", "sha256", "label_version", "size_bytes", "mtime_ns", "loaded_at"],
        )
        .filter(pl.col("label_version") > ledger.REFUSED)
        .sort("label_version", "loaded_at")
    )
    known = {row[0]: row[1:5] for row in ledger_rows.iter_rows()}
    part = _Part()
    for listed in waiting[:_MOST_FILES]:
        if part.size >= _PART_BYTES:
            break
        part.tried.add(listed)
        try:
            file = settled(listed, settings.landing.settle_seconds)
        except InputError as error:  # gone: there is nothing to remember about it
            part.refusals.append((listed, str(error)))
            continue
        sha256 = ""
        try:
            sha256 = digest(file.path)
            before = known.get(file.name)
            if before is not None and before[0] == sha256:
                # Touched, not changed; or another process has taken it since we looked.
                if before[2:] != (file.size_bytes, file.mtime_ns):
                    part.entries.append(ledger.row(file, _kind(file), sha256, before[1], 0))
                continue
            items = list(_source(file, settings).rows())
        except (InputError, OSError) as error:
            part.refusals.append((file, str(error)))
            part.entries.append(ledger.row(file, "", sha256, ledger.REFUSED, 0))
            part.problems[file] = [Problem("", 0, file_issues.UNUSABLE, str(error))]
            continue
        if file.again() != file:
            part.refusals.append((file, f"{file.path} changed while it was read: run again"))
            continue
        rows = [item for item in items if isinstance(item, Annotation)]
        part.problems[file] = [item for item in items if isinstance(item, Problem)]
        part.frames.append(ledger.frame(rows, file, sha256, version))
        part.entries.append(ledger.row(file, _kind(file), sha256, version, len(rows)))
        part.files.append(file)
        part.size += sum(100 + len(row.text or "") for row in rows)
    return part


def _source(file: LabelFile, settings: Settings) -> LabelSource:
    folder, slash, _ = file.source.removeprefix(f"{MASKS}/").rpartition("/")
    stem = file.path.stem.removesuffix(settings.labels.mask_stem_ending) or file.path.stem
    name = f"{folder}{slash}{stem}"
    if file.path.suffix.lower() in SUFFIXES:
        return MaskPicture(file.path, name, settings.labels.mask_values, settings.decode.max_pixels)
    return open_source(file.path, settings, stem=name)


def _kind(file: LabelFile) -> str:
    return "mask" if file.path.suffix.lower() in SUFFIXES else "geojson"


def _record(lake: Lake, entries: Sequence[dict[str, object]], version: int) -> bool:
    """Write ledger rows, those of files with rows at most once; whether anything was written."""
    if not entries:
        return False
    frame = pl.DataFrame(entries, infer_schema_length=None)
    counted = frame.filter(pl.col("label_version") == version, pl.col("rows") > 0)
    others = frame.join(counted, on="path", how="anti")
    written = [
        lake.append("label_files", counted, app_id=f"{_CHAIN}/{version}")
        if counted.height
        else None,
        lake.append("label_files", others, app_id=f"{_CHAIN}/{_name(others)}")
        if others.height
        else None,
    ]
    return any(item is not None for item in written)


def _name(entries: pl.DataFrame) -> str:
    """A name for ledger rows that carry nothing new: of what they say, without the time."""
    said = entries.drop("loaded_at").sort("path").rows()
    return hashlib.sha256(repr(said).encode()).hexdigest()

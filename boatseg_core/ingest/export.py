"""Copy refused files out, for those who have to find out what is wrong with them."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.errors import BoatsegError, InputError
from boatseg_core.ingest.quarantine import ledger_rows
from boatseg_core.ingest.sources import Limits, Refusal, Source, open_source, reads
from boatseg_core.ingest.sources.base import sealed_stamp
from boatseg_core.lake import Lake

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80
_FIELDS = (
    "file",
    "content",
    "path",
    "reason",
    "message",
    "sha256",
    "head",
    "size_bytes",
    "sha256_of_copy",
    "source",
    "image_id",
    "batch_id",
    "quarantined_at",
)


@dataclass(frozen=True)
class Exported:
    """What was copied.

    Attributes:
        folder: Where to.
        whole: Files copied as they were sealed.
        heads: Files that are gone or changed, of which only the first bytes are left.
        bytes: Size of it all.
    """

    folder: Path
    whole: int
    heads: int
    bytes: int


def export(
    lake: Lake,
    settings: Settings,
    chosen: pl.DataFrame,
    folder: Path,
    *,
    each: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Copy refused files into a new folder, with ``manifest.csv`` and ``manifest.json``.

    Files are named by number and by what is harmless in their own names: they came from strangers.
    What is gone, changed or out of reach since is represented by its first bytes, as
    ``....head``. The folder appears when it is complete, or not at all.

    Args:
        lake: The lake.
        settings: Landing folder and the options of object stores.
        chosen: Rows of :func:`~boatseg_core.ingest.quarantine.refused`.
        folder: Folder that does not exist yet, or is empty.
        each: Called with each path before it is copied.

    Raises:
        InputError: The folder holds something, or cannot be written.
    """
    target = folder.expanduser().absolute()
    if target.is_symlink() or (target.exists() and not _is_empty_folder(target)):
        raise InputError(
            f"{target} exists already: name a folder that does not, nothing is replaced"
        )
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
        try:
            entries = list(_copy(lake, settings, chosen, partial, each))
            _write_manifests(entries, partial)
            partial.replace(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}") from error
    whole = sum(entry["content"] == "whole" for entry in entries)
    return Exported(
        folder=target,
        whole=whole,
        heads=len(entries) - whole,
        bytes=sum(entry.pop("_bytes") for entry in entries),
    )


def safe_name(number: int, path: str) -> str:
    """Name a copy: a number that makes it unique, and what is harmless of the file's own name.

    >>> safe_name(7, "../../etc/pass wd;.jpg")
    '000007-pass_wd_.jpg'
    """
    own = _UNSAFE.sub("_", path.rpartition("/")[2])[-_LONGEST:].lstrip(".")
    return f"{number:06d}-{own or 'file'}"


def _copy(
    lake: Lake,
    settings: Settings,
    chosen: pl.DataFrame,
    folder: Path,
    each: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    key = ("batch_id", "source", "path")
    rows = {
        tuple(row[name] for name in key): (number, row)
        for number, row in enumerate(chosen.iter_rows(named=True), start=1)
    }
    sealed = ledger_rows(lake, chosen)
    for name in sorted({row["source"] for row in sealed}):
        source = open_source(name, settings)
        mine = [row for row in sealed if row["source"] == name]
        for stamp, write in _contents(source, mine, Limits.of(settings.landing)):
            number, row = rows.pop(tuple(stamp[k] for k in key))
            each(row["path"])
            yield _one(number, row, folder, write)
    for number, row in rows.values():  # a row without a ledger entry: a table was damaged
        yield _one(number, row, folder, _raising(InputError("the ledger does not have it")))


def _contents(
    source: Source, rows: list[dict[str, Any]], limits: Limits
) -> Iterator[tuple[dict[str, Any], Callable[[Path], str]]]:
    """Each row with a way to write its bytes to a file, which returns their SHA-256."""
    members = []
    for row in rows:
        if row["archive"] and row["archive"] != row["path"]:
            members.append(row)
        else:
            yield row, lambda file, row=row: _stream(source, row, file)  # type: ignore[misc]
    by_batch: dict[str, dict[str, dict[str, Any]]] = {}
    for row in members:  # one member may have been sealed in several versions of its archive
        by_batch.setdefault(row["batch_id"], {})[row["path"]] = row
    for batch in by_batch.values():
        trouble = InputError("the archive did not give it")
        try:
            for found, fetch in reads(source, list(batch.values()), limits):
                row = batch.pop(found["path"])
                yield row, lambda file, fetch=fetch: _write(file, fetch())  # type: ignore[misc]
        except InputError as error:
            trouble = error
        for row in batch.values():
            yield row, _raising(trouble)


def _raising(error: BoatsegError) -> Callable[[Path], str]:
    def write(_: Path) -> str:
        raise error

    return write


def _stream(source: Source, row: dict[str, Any], file: Path) -> str:
    blob = source.open(*sealed_stamp(row))
    digest = hashlib.sha256()
    try:
        with file.open("xb") as out:
            for chunk in blob.chunks(0):
                digest.update(chunk)
                out.write(chunk)
        blob.check()
    finally:
        blob.close()
    return digest.hexdigest()


def _write(file: Path, data: bytes) -> str:
    with file.open("xb") as out:
        out.write(data)
    return hashlib.sha256(data).hexdigest()


def _one(
    number: int, row: dict[str, Any], folder: Path, write: Callable[[Path], str]
) -> dict[str, Any]:
    file = folder / safe_name(number, row["path"])
    try:
        digest, content = write(file), "whole"
    except (Refusal, InputError) as refusal:
        file.unlink(missing_ok=True)
        file = file.with_name(f"{file.name}.head")
        digest, content = _write(file, row["head"] or b""), f"first bytes: {refusal}"
    return {
        **{name: row[name] for name in _FIELDS if name in row},
        "head": (row["head"] or b"").hex(" "),
        "quarantined_at": row["quarantined_at"].isoformat(),
        "file": file.name,
        "content": content,
        "sha256_of_copy": digest,
        "_bytes": file.stat().st_size,
    }


def _write_manifests(entries: list[dict[str, Any]], folder: Path) -> None:
    entries.sort(key=lambda entry: str(entry["file"]))
    rows = [{name: entry[name] for name in _FIELDS} for entry in entries]
    text = json.dumps(rows, indent=2, ensure_ascii=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "manifest.csv").open("x", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, _FIELDS)
        writer.writeheader()
        writer.writerows(rows)


def _is_empty_folder(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())

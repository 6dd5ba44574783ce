"""Find images whose bytes are already there under another name.

Of the images that share their bytes one is the original: that of the smallest ``(batch_id,
image_id)`` among the rows that are the newest version of their image. The others are its
duplicates. Older versions of an overwritten image are neither, and an image whose newest version
has the bytes of an older one (it was only touched) is no duplicate of itself.

That is a function of the tables alone. Two batches judged at the same moment may each miss the
other's rows; :func:`stale_duplicates` then names what has to be judged again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from boatseg_core.lake import Lake

_Prints: TypeAlias = npt.NDArray[np.uint64]

_KEYS = ["image_id", "batch_id"]
_HEX = 16  # leading digits of a SHA-256 that are compared first: 64 bits instead of 64 characters
_ROWS = 65_536  # rows of names and hashes in memory at a time, some 10 MB
_FOUND = dict.fromkeys((*_KEYS, "duplicate_of"), pl.String)


@dataclass(frozen=True)
class _Batch:
    files: frozenset[str]
    prints: _Prints


# Parquet files of a Delta table never change, so what was read from them stays true: a process that
# judges batch after batch, or looks every 30 s, reads each file once. 8 bytes an image.
_read: dict[tuple[str, str], _Batch] = {}
# The last answer of `stale_duplicates` of a lake, with the table versions it is true for.
_answers: dict[str, tuple[tuple[object, ...], tuple[str, ...]]] = {}
_lock = threading.Lock()


def duplicates(lake: Lake, batch_id: str | None = None) -> pl.DataFrame:
    """List the duplicates by the newest tables.

    Args:
        lake: The lake.
        batch_id: Only the duplicates of this batch; by default of all.

    Returns:
        ``image_id``, ``batch_id`` and ``duplicate_of``, one row a duplicate.
    """
    if not lake.exists("raw_images"):
        return pl.DataFrame(schema=_FOUND)
    table = lake.table("raw_images")
    prints = _prints(lake, table.version(), table.get_add_actions(flatten=True))
    shared = _shared(prints, batch_id)
    batches = [batch for batch, values in prints.items() if _within(values, shared).any()]
    if not batches:
        return pl.DataFrame(schema=_FOUND)
    rows = pl.concat(
        part.filter(_within(_leading(part["sha256"]), shared))
        for part in _parts(lake, table.version(), [*_KEYS, "sha256"], batches, of=len(prints))
    )
    newer = (
        lake.scan("files")
        .select("image_id", newest="batch_id")
        .join(rows.lazy().select("image_id").unique(), on="image_id", how="semi")
        .group_by("image_id")
        .agg(pl.col("newest").max())
        .collect()
    )
    current = rows.join(newer, on="image_id", how="left").filter(
        (pl.col("newest") <= pl.col("batch_id")) | pl.col("newest").is_null()
    )
    linked = current.sort("batch_id", "image_id").select(
        *_KEYS, duplicate_of=pl.col("image_id").first().over("sha256")
    )
    found = linked.filter(pl.col("image_id") != pl.col("duplicate_of"))
    return found if batch_id is None else found.filter(pl.col("batch_id") == batch_id)


def stale_duplicates(lake: Lake) -> list[str]:
    """List the judged batches in which an image should, or should no longer, be a duplicate.

    Only names and hashes are read, of each file once in the life of a process; while no table
    changes, only their versions are looked at.

    Args:
        lake: The lake.

    Returns:
        Batch ids, sorted.
    """
    names = ("raw_images", "image_quality", "files")
    if not all(lake.exists(name) for name in names):
        return []
    tables = [lake.table(name) for name in names]
    # The identifier too: a home may be deleted and made anew under the same path.
    versions = tuple((table.metadata().id, table.version()) for table in tables)
    with _lock:
        known = _answers.get(lake.root)
    if known is not None and known[0] == versions:
        return list(known[1])
    stored = (
        lake.scan("image_quality", tables[1].version())
        .select(list(_FOUND))
        .collect()
        # Not before: Arrow takes delta-rs' "min is null" for a promise that no value is null.
        .filter(pl.col("duplicate_of").is_not_null())
    )
    judged = list(lake.counts("image_quality"))
    expected = duplicates(lake).filter(pl.col("batch_id").is_in(judged))
    differing = pl.concat(
        [
            expected.join(stored, on=list(_FOUND), how="anti"),
            stored.join(expected, on=list(_FOUND), how="anti"),
        ]
    )
    stale = tuple(sorted(differing["batch_id"].unique().to_list()))
    with _lock:
        _answers[lake.root] = (versions, stale)
    return list(stale)


def _prints(lake: Lake, version: int, actions: pa.Table) -> dict[str, _Prints]:
    """Leading 64 bits of every image's hash, by batch."""
    files: dict[str, set[str]] = {}
    listed = pl.DataFrame(pa.table(actions))
    if not listed.is_empty():
        for path, batch in listed.select("path", "partition.batch_id").iter_rows():
            files.setdefault(batch, set()).add(path)
    with _lock:
        known = {b: _read[lake.root, b] for b in files if (lake.root, b) in _read}
    known = {batch: entry for batch, entry in known.items() if entry.files == files[batch]}
    missing = [batch for batch in files if batch not in known]
    if missing:
        parts: dict[str, list[_Prints]] = {}
        for rows in _parts(lake, version, ["batch_id", "sha256"], missing, of=len(files)):
            if rows.is_empty():
                continue
            runs, values = rows["batch_id"].rle().struct.unnest(), _leading(rows["sha256"])
            ends = runs["len"].cum_sum().to_list()
            for batch, piece in zip(runs["value"], np.split(values, ends[:-1]), strict=True):
                parts.setdefault(batch, []).append(piece)
        for batch, pieces in parts.items():
            known[batch] = _Batch(frozenset(files[batch]), np.concatenate(pieces))
    with _lock:
        for gone in [key for key in _read if key[0] == lake.root and key[1] not in known]:
            del _read[gone]
        _read.update({(lake.root, batch): entry for batch, entry in known.items()})
    return {batch: entry.prints for batch, entry in known.items()}


def _parts(
    lake: Lake, version: int, columns: list[str], batches: list[str], *, of: int
) -> Iterator[pl.DataFrame]:
    """Read columns of some batches of ``raw_images``; in parts where they are most of the table."""
    if 2 * len(batches) < of:
        chosen = lake.scan("raw_images", version).filter(pl.col("batch_id").is_in(batches))
        yield chosen.select(columns).collect()
        return
    wanted, held, count = set(batches), list[pa.RecordBatch](), 0
    for rows in lake.batches("raw_images", columns, version=version, rows=_ROWS):
        if rows["batch_id"][0].as_py() in wanted:  # the partition: all rows of a file share one
            held.append(rows)
            count += rows.num_rows
        if count >= _ROWS:
            yield pl.DataFrame(pa.Table.from_batches(held))
            held, count = [], 0
    if held:
        yield pl.DataFrame(pa.Table.from_batches(held))


def _leading(hashes: pl.Series) -> _Prints:
    digits = hashes.str.slice(0, _HEX).str.to_integer(base=16, dtype=pl.UInt64)
    return digits.to_numpy().astype(np.uint64, copy=False)


def _shared(prints: dict[str, _Prints], batch_id: str | None) -> _Prints:
    """Values that occur more than once; of one batch, all of its values that do."""
    if not prints:
        return np.empty(0, np.uint64)
    everything = np.sort(np.concatenate(list(prints.values())))
    twice = np.unique(everything[1:][everything[1:] == everything[:-1]])
    if batch_id is None:
        return twice
    mine = prints.get(batch_id, np.empty(0, np.uint64))
    return twice[_within(twice, np.unique(mine))]


def _within(values: _Prints, wanted: _Prints) -> npt.NDArray[np.bool_]:
    """Whether each value is one of the sorted, distinct wanted ones."""
    if not wanted.size:
        return np.zeros(values.shape, dtype=np.bool_)
    at = np.minimum(np.searchsorted(wanted, values), wanted.size - 1)
    return np.asarray(wanted[at] == values, dtype=np.bool_)

"""A listing in large pieces: what counts as an image or an archive, and what waits."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import polars as pl

from boatseg_core.config.sections import Landing
from boatseg_core.ingest.known import FOUND
from boatseg_core.ingest.sources import SUFFIXES, TEMPORARY, Entry, Source

# Files compared with the ledger at a time: each comparison looks through the ledger's paths once.
_PAGE = 100_000
_LOOK_AT_CLOCK = 256  # files
# Each file with when it was looked at, or shortly before.
_LISTED = {**FOUND, "looked": pl.Int64}


@dataclass
class Tally:
    """Counts of one look; see :class:`boatseg_core.ingest.discover.Discovery`."""

    listed: int = 0
    known: int = 0
    unsettled: int = 0
    ignored: int = 0
    archives: int = 0
    unnameable: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A stretch of the listing.

    Bounds are places in the listing's own order: not every store sorts by bytes.

    Attributes:
        files: Settled files and archives: the columns of a listing, the place in the page, ``at``,
            and whether it is an archive, ``packed``.
        end: Where the stretch ends.
        last: Whether the listing ends there, too.
    """

    files: pl.DataFrame
    end: str
    last: bool


def pages(
    source: Source, landing: Landing, after: str, ends: float, tally: Tally
) -> Iterator[Page]:
    """Sort a listing into what counts and what waits, a page at a time.

    The work for a file that counts is done in columns: a million files take a second beyond the
    listing itself.

    Args:
        source: The folder or bucket.
        landing: File endings and settle time.
        after: Place to begin behind.
        ends: Time by ``time.monotonic`` after which the page at hand is the last one.
        tally: Counts what is listed and what is not taken.
    """
    listing = source.listing(after)
    last = False
    while not last:
        # Columns from the start: of a page of entries, kept, the garbage collector would look
        # through every one again and again, for a fifth of the time.
        columns: list[list[str | int]] = [[] for _ in _LISTED]
        count = 0
        while count < _PAGE:
            now = time.time_ns()
            handful = list(islice(listing, _LOOK_AT_CLOCK))
            count += len(handful)
            writable = _writable(handful, landing, tally)
            for i in range(len(FOUND)):
                columns[i] += [entry[i] for entry in writable]
            columns[-1] += [now] * len(writable)
            # To go on from: the last one that is there, and that can be written down.
            after = writable[-1].path if writable else after
            last = len(handful) < _LOOK_AT_CLOCK
            # Not behind a name that cannot be written down: the next look would begin here again.
            if last or (time.monotonic() >= ends and _is_place(handful[-1])):
                break
        listed = pl.DataFrame(
            [
                pl.Series(name, values, dtype=dtype)
                for (name, dtype), values in zip(_LISTED.items(), columns, strict=True)
            ]
        )
        yield Page(_sorted(listed, landing, tally), after, last)


def _writable(entries: list[Entry], landing: Landing, tally: Tally) -> list[Entry]:
    """Keep the files that could be looked at, and whose names a table can hold."""
    if not any(entry.error for entry in entries) and _is_utf8("".join(e.path for e in entries)):
        return entries
    wanted = _wanted(landing)
    kept: list[Entry] = []
    for entry in entries:
        name = entry.path[entry.path.rfind("/") + 1 :].lower()
        if entry.error:
            if not name or name.endswith(wanted):
                tally.unreadable.append(f"{_spelled(entry.path)}: {entry.error}")
        elif _is_place(entry):
            kept.append(entry)
        elif name[:1] != "." and name.endswith(wanted):
            tally.unnameable.append(_spelled(entry.path))
        else:
            tally.ignored += 1
    return kept


def _is_place(entry: Entry) -> bool:
    return not entry.error and _is_utf8(entry.path)


def _sorted(listed: pl.DataFrame, landing: Landing, tally: Tally) -> pl.DataFrame:
    """Keep the settled images and archives; count the others."""
    wanted = _wanted(landing)
    packed = SUFFIXES if landing.archives else ()
    # The ending is short: only that much of a path is brought to lower case.
    longest = max(map(len, wanted + TEMPORARY))
    end = pl.col("path").str.slice(-longest).str.to_lowercase()
    # Of a path with a hidden part only the name counts; most have none, and are seen at a glance.
    dotted = pl.col("path").str.starts_with(".") | pl.col("path").str.contains("/.", literal=True)
    marked = listed.with_columns(end=end, dotted=dotted)
    if marked["dotted"].any():
        hidden = pl.col("path").str.contains(r"(^|/)\.[^/]*$")
        marked = marked.with_columns(dotted=pl.col("dotted") & hidden)
    counts = ~pl.col("dotted") & _ends(wanted) & ~_ends(TEMPORARY)
    taken = marked.filter(counts).with_columns(packed=_ends(packed)).drop("end", "dotted")
    # Also shortly ahead of our clock (a file server's may be): young all the same. A time far
    # ahead is a wrong one and must not hold the file back until then.
    age = (pl.col("looked") - pl.col("mtime_ns")).abs()
    settled = taken.filter(age >= int(landing.settle_seconds * 1e9))
    tally.ignored += listed.height - taken.height
    tally.listed += taken.height
    tally.unsettled += taken.height - settled.height
    return settled.drop("looked").with_row_index("at")


def _ends(endings: tuple[str, ...]) -> pl.Expr:
    return pl.any_horizontal(
        pl.lit(False), *(pl.col("end").str.ends_with(ending) for ending in endings)
    )


def _wanted(landing: Landing) -> tuple[str, ...]:
    suffixes = tuple(suffix.lower() for suffix in landing.suffixes)
    return suffixes + (SUFFIXES if landing.archives else ())


def _spelled(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_utf8(path: str) -> bool:
    if path.isascii():
        return True
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

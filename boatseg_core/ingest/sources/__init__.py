"""Where images come from: a folder or a bucket, and the archives in either."""

from __future__ import annotations

from pathlib import Path

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.ingest.sources.archives import SUFFIXES, TEMPORARY, Fetch, Limits, Member
from boatseg_core.ingest.sources.base import (
    NOT_FINAL,
    REASONS,
    Entry,
    Refusal,
    Row,
    Source,
)
from boatseg_core.ingest.sources.local import LocalSource
from boatseg_core.ingest.sources.reading import is_back, list_members, read, reads

__all__ = [
    "NOT_FINAL",
    "REASONS",
    "SUFFIXES",
    "TEMPORARY",
    "Entry",
    "Fetch",
    "Limits",
    "Member",
    "Refusal",
    "Row",
    "Source",
    "is_back",
    "list_members",
    "open_source",
    "read",
    "reads",
    "source_of",
]


def source_of(settings: Settings) -> str:
    """Name of the place images arrive at, as the ledger has it.

    The home's own folder is 'landing', so that a home can be moved; another folder is its path, a
    bucket its URI.
    """
    return settings.images_location.rstrip("/") if settings.landing.images else "landing"


def open_source(name: str, settings: Settings) -> Source:
    """Open a source of the ledger; the inverse of :func:`source_of`.

    Args:
        name: Name in the ledger.
        settings: The home's landing folder, and the options of object stores.

    Raises:
        InputError: The name is neither a path nor a URI that can be read.
    """
    if "://" in name:
        from boatseg_core.ingest.sources.s3 import S3Source

        return S3Source(name, settings.storage_options)
    if name == "landing":
        return LocalSource(name, settings.paths.landing / "images")
    if Path(name).is_absolute():
        return LocalSource(name, Path(name))
    raise InputError(f"the ledger names the landing folder {name!r}, which is not a path")

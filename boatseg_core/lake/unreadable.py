"""What is said when a data file of a table's version cannot be read."""

from __future__ import annotations

import re

import pyarrow as pa

from boatseg_core.errors import LakeError

_FILE = re.compile(r"(?:[^/'\s]+=[^/'\s]+/)*[^/'\s]+\.parquet")


class reading:  # a context, named like one
    """Says in one sentence what is wrong with a file of a version that cannot be read.

    Args:
        name: The table.
        version: Its version.
        path: The file, where it is known.

    Raises:
        LakeError: It is gone, for whoever opened the version may have waited until it was vacuumed,
            or it is damaged.
    """

    def __init__(self, name: str, version: int, path: str = "") -> None:
        self._name, self._version, self._path = name, version, path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError) or _says_gone(error):
            path = self._path or _named(error)
            which = f"its file {path}" if path else f"a file of it ({_first(error)})"
            raise LakeError(
                f"version {self._version} of {self._name} cannot be read any more, {which} is gone "
                "(vacuumed?): use a newer version, or run `boatseg lake doctor` if this is the "
                "newest"
            ) from error
        if isinstance(error, OSError | pa.ArrowException):
            path = self._path or _named(error) or "(one of several)"
            raise LakeError(
                f"file {path} of {self._name} version {self._version} "
                f"cannot be read: {_first(error)}; `boatseg lake doctor` says what is damaged"
            ) from error


def _says_gone(error: BaseException | None) -> bool:
    """Object stores tell through a plain OSError."""
    text = str(error).lower()
    return isinstance(error, OSError) and ("not found" in text or "404" in text)


def _named(error: BaseException | None) -> str:
    """The data file that an error speaks of."""
    found = _FILE.search(str(error))
    return found[0] if found else ""


def _first(error: BaseException | None) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__

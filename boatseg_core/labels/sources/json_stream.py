"""Read a JSON object of any size, element by element of its arrays.

Only one element is in memory at a time. The grammar is that of RFC 8259, as Python's decoder reads
it (which also knows NaN and Infinity; what they mean is for the reader of the values to say).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from boatseg_core.errors import InputError

MAX_ELEMENT = 64 * 2**20
"""Longest element of an array, or value that is no array, in characters."""

_CHUNK = 2**20
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"[0-9.eE+-]*")
# An error this close to the end of what was read may be no more than its end.
_NEAR = 16


def stream(path: Path) -> Iterator[tuple[str, int | None, Any]]:
    """Stream the members of a JSON file's top-level object.

    Args:
        path: The file; UTF-8, with or without a byte order mark.

    Yields:
        Key, position and element for every element of a member that is an array; key, ``None`` and
        the value for another member, and for an array before its first element (the value is then
        an empty list).

    Raises:
        InputError: The file cannot be read or is not such a JSON file; the message names the file
            and the position.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _Reader(file, path).members()
    except OSError as error:
        raise InputError(f"label file {path} cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise InputError(f"label file {path} is not UTF-8 text ({error})") from error


class _Reader:
    def __init__(self, file: TextIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._buffer = ""
        self._at = 0
        self._before = 0  # characters read and dropped
        self._ended = False
        self._decode = json.JSONDecoder().raw_decode

    def members(self) -> Iterator[tuple[str, int | None, Any]]:
        self._expect("{")
        if self._peek() == "}":
            self._at += 1
        else:
            while True:
                key = self._value()
                if not isinstance(key, str):
                    raise self._invalid("a name in quotes was expected")
                self._expect(":")
                yield from self._member(key)
                if self._next(",}") == "}":
                    break
        if self._peek():
            raise self._invalid("there is text after the end of the object")

    def _member(self, key: str) -> Iterator[tuple[str, int | None, Any]]:
        if self._peek() != "[":
            yield key, None, self._value()
            return
        self._at += 1
        yield key, None, []
        if self._peek() == "]":
            self._at += 1
            return
        number = 0
        while True:
            yield key, number, self._value()
            number += 1
            if self._next(",]") == "]":
                return

    def _expect(self, character: str) -> None:
        self._next(character)

    def _next(self, characters: str) -> str:
        found = self._peek()
        if not found or found not in characters:
            wanted = " or ".join(repr(c) for c in characters)
            what = repr(found) if found else "the end of the file"
            raise self._invalid(f"{wanted} was expected, found {what}")
        self._at += 1
        return found

    def _peek(self) -> str:
        while True:
            match = _SPACE.match(self._buffer, self._at)
            assert match is not None  # matches nothing as well
            self._at = match.end()
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more(_CHUNK):
                return ""

    def _more(self, size: int) -> bool:
        piece = self._file.read(size)
        self._before += self._at
        self._buffer = self._buffer[self._at :] + piece
        self._at = 0
        self._ended = not piece
        return bool(piece)

    def _value(self) -> Any:
        self._peek()
        size = _CHUNK
        while True:
            value, end, error = None, None, None
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as failure:
                error = failure
            except (RecursionError, ValueError) as failure:  # nested too deeply; too many digits
                raise self._invalid(str(failure)) from failure
            if end is not None and (self._ended or self._is_whole(value, end)):
                self._at = end
                return value
            if error is not None and (self._ended or not self._may_go_on(error)):
                raise self._invalid(error.msg, error.pos) from error
            if len(self._buffer) - self._at > MAX_ELEMENT:
                raise self._invalid(f"one element is longer than {MAX_ELEMENT:,} characters")
            self._more(size)
            size *= 2  # else an element of n characters costs n² / size

    def _is_whole(self, value: Any, end: int) -> bool:
        if isinstance(value, int | float) and not isinstance(value, bool):
            match = _NUMBER.match(self._buffer, end)
            assert match is not None  # matches nothing as well
            end = match.end()
        return end < len(self._buffer)

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated") or error.pos > len(self._buffer) - _NEAR

    def _invalid(self, why: str, at: int | None = None) -> InputError:
        position = self._before + (self._at if at is None else at)
        return InputError(
            f"label file {self._path} is not valid JSON at character {position}: {why}"
        )

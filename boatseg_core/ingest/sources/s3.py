"""Images in a bucket of an S3-compatible object store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import InputError
from boatseg_core.ingest.sources.base import Entry, Refusal, Row, Source
from boatseg_core.lake.files_store import open_bucket, say_answer

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_PAGE = 1000  # objects in one answer of a listing; the protocol's own bound
_CHUNK = 8 * 2**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class S3Source(Source):
    """A bucket, or what lies below a prefix in it.

    Args:
        name: ``s3://bucket`` or ``s3://bucket/prefix``; also the name in the ledger. The prefix is
            taken as the keys have it: nothing in it is percent-encoded.
        options: Endpoint, region and credentials as delta-rs names them; what is missing is taken
            from the environment's ``AWS_`` variables and the machine's role.

    Raises:
        InputError: The URI names no bucket, or an option has an impossible value.
    """

    readers = 16  # an object takes tens of milliseconds to come and two to decode

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self.name = name
        scheme, _, rest = name.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme.lower() not in ("s3", "s3a") or not bucket:
            raise InputError(f"landing.images is {name!r}: name a folder, or s3://bucket/prefix")
        self._store = _store(name, bucket, prefix.strip("/"), options)
        self._prefix = f"{prefix.strip('/')}/".removeprefix("/")

    def check(self) -> None:
        """Raise if the bucket cannot be listed; see :meth:`Source.check`."""
        next(self.listing(), None)

    def listing(self, after: str = "") -> Iterator[Entry]:
        """List the objects in the store's own order; see :meth:`Source.listing`.

        A key that is no path (``a//b``, ``a/../b``, a control character) is an entry with an error,
        for the folder it is in. Of that folder alone, what sorts before the key is left out.
        """
        return self._below("", after)

    def _below(self, folder: str, after: str) -> Iterator[Entry]:
        last = after
        try:
            for entry in self._flat(folder, after):
                last = entry.path
                yield entry
        except _NoPath:
            # The client gives up a whole page for one key: find its folder, level by level.
            yield from self._levels(folder, last)

    def _levels(self, folder: str, last: str) -> Iterator[Entry]:
        import obstore

        try:
            with self._listing_errors():
                level = obstore.list_with_delimiter(self._store, folder or None)
        except _NoPath as found:
            error = f"has keys that are no paths, beginning with {str(found)!r}: rename them"
            yield Entry(folder or "/", error=error)
            behind = _behind(str(found), folder)
            if behind > last:
                yield from self._below(folder, behind)
            return
        inside = {each["path"]: _entry(each) for each in level["objects"]}
        folders = {f"{name.rstrip('/')}/" for name in level["common_prefixes"]}
        for path in sorted(folders | inside.keys(), key=str.encode):
            if path in inside:
                if path > last:
                    yield inside[path]
            elif path > last or last.startswith(path):
                yield from self._below(path, last)

    def _flat(self, folder: str, after: str) -> Iterator[Entry]:
        import obstore

        stream = obstore.list(self._store, folder or None, offset=after or None, chunk_size=_PAGE)
        while True:
            with self._listing_errors():
                page = next(stream, None)
            if page is None:
                return
            yield from map(_entry, page)

    @contextmanager
    def _listing_errors(self) -> Iterator[None]:
        import obstore

        try:
            yield
        except (obstore.exceptions.BaseError, ValueError, FileNotFoundError) as failure:
            key = re.search(r'invalid path: .*?[Pp]ath "(.*?)"', str(failure))
            if key is not None:
                raise _NoPath(key[1].removeprefix(self._prefix)) from failure
            raise InputError(
                f"{self.name} cannot be listed: {say_answer(failure)}; check landing.images and "
                "storage_options"
            ) from failure

    def open(self, path: str, size: int, mtime_ns: int, etag: str) -> S3Blob:
        """Open an object as it was sealed; see :meth:`Source.open`."""
        meta = self._get(path, size, mtime_ns, etag, head=True).meta
        return S3Blob(self, path, meta["size"], mtime_ns, etag)

    def fetch(self, row: Row) -> bytes:
        """Read a whole object as it was sealed; see :meth:`Source.fetch`."""
        key = row["path"], row["size_bytes"], row["mtime_ns"], row["etag"]
        return self._bytes(self._get(*key), row["path"])

    def locate(self, path: str) -> str:
        """URI of an object."""
        return f"{self.name.rstrip('/')}/{path}"

    def _get(
        self,
        path: str,
        size: int,
        mtime_ns: int,
        etag: str,
        *,
        head: bool = False,
        span: tuple[int, int] | None = None,
    ) -> Any:
        """Ask for an object, which has to be what was sealed; its body is not read yet."""
        import obstore

        options: dict[str, Any] = {"head": head}
        if etag:
            options["if_match"] = etag
        if span is not None:
            options["range"] = span
        try:
            answer = obstore.get(self._store, path, options=options)  # type: ignore[arg-type]
        except (obstore.exceptions.BaseError, OSError, ValueError) as failure:
            raise self._refusal(path, failure) from failure
        found = answer.meta
        # A store may disregard the condition, or have no entity tags at all.
        same = found["e_tag"] == etag if etag else _nanoseconds(found["last_modified"]) == mtime_ns
        if not same or size not in (-1, found["size"]):
            raise self._changed(path)
        return answer

    def _bytes(self, answer: Any, path: str) -> bytes:
        import obstore

        try:
            return bytes(answer.bytes())
        except (obstore.exceptions.BaseError, OSError) as failure:
            raise self._refusal(path, failure) from failure

    def _changed(self, path: str) -> Refusal:
        return Refusal("changed", f"{self.locate(path)} was changed after it was sealed")

    def _refusal(self, path: str, failure: Exception) -> Refusal | InputError:
        import obstore

        where = self.locate(path)
        if isinstance(failure, FileNotFoundError):
            self.check()  # the bucket itself may be what is gone
            return Refusal("vanished", f"{where} was deleted after it was sealed")
        if isinstance(failure, obstore.exceptions.PreconditionError):
            return self._changed(path)
        if isinstance(failure, obstore.exceptions.PermissionDeniedError):
            self.check()  # expired credentials forbid everything, and are not the object's fault
            return Refusal(
                "unreadable",
                f"{where} may not be read: {say_answer(failure)}; allow it, and it is asked for "
                "again",
            )
        return InputError(f"{where} cannot be read: {say_answer(failure)}; run its batch again")


class S3Blob:
    """An object opened as it was sealed; see :class:`boatseg_core.ingest.sources.base.Blob`."""

    window = 4 * 2**20

    def __init__(self, source: S3Source, path: str, size: int, mtime_ns: int, etag: str) -> None:
        self.size = size
        self._source, self._path = source, path
        self._sealed = path, size, mtime_ns, etag
        self.key = source.locate(path), size, mtime_ns, etag

    def read(self, offset: int, length: int) -> bytes:
        """Read some bytes; fewer only at the end."""
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        answer = self._source._get(*self._sealed, span=(offset, end))
        return self._source._bytes(answer, self._path)

    def chunks(self, offset: int) -> Iterator[bytes]:
        """Read from a place to the end."""
        # Piece by piece: one long answer would run into the request's timeout while its reader is
        # busy with pictures.
        while piece := self.read(offset, _CHUNK):
            yield piece
            offset += len(piece)

    def check(self) -> None:
        """Raise if the object is no longer what was sealed."""
        # Every answer carries its condition: what was read is what was sealed.

    def close(self) -> None:
        """Let go of it."""


class _NoPath(Exception):
    """A listing met a key that the client cannot handle; its argument is the key."""


def _behind(key: str, folder: str) -> str:
    """The first place in a folder behind a key that is no path, and behind all keys like it."""
    rest = key.removeprefix(folder)
    for segment in ("..", ".", ""):
        if rest.startswith(f"{segment}/"):
            return f"{folder}{segment}0"  # "0" follows "/"
    # A control character: the first that is none follows all of them.
    return folder + re.sub(r"[\x00-\x1f].*", " ", rest, count=1, flags=re.DOTALL)


def _entry(found: ObjectMeta) -> Entry:
    return Entry(
        found["path"], found["size"], _nanoseconds(found["last_modified"]), found["e_tag"] or ""
    )


def _store(name: str, bucket: str, prefix: str, options: Mapping[str, str]) -> ObjectStore:
    from obstore.exceptions import BaseError

    try:
        return open_bucket(bucket, prefix, dict(options))
    except (BaseError, ValueError) as error:
        raise InputError(
            f"{name} cannot be opened with the storage_options: {say_answer(error)}"
        ) from error


def _nanoseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000

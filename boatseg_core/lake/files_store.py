"""The files of a lake in an object store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from boatseg_core.errors import LakeUnusable
from boatseg_core.lake.files import Entry

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# What delta-rs reads from storage options and obstore knows as options of its HTTP client.
_CLIENT = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "http1_only",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_url",
        "timeout",
        "user_agent",
    }
)
# Options that only mean something to delta-rs.
_DELTA_ONLY = ("aws_s3_allow_unsafe_rename", "aws_s3_locking_provider", "delta_", "allow_unsafe_")
_PREFIXES = ("aws_", "azure_", "google_")


def open_store(uri: str, storage_options: dict[str, str]) -> ObjectStore:
    """Open an object store with the options that delta-rs takes."""
    from obstore.store import from_url

    config, client = _split(storage_options)
    store: ObjectStore = from_url(uri, config=config, client_options=client or None)  # type: ignore[call-overload]
    return store


def open_bucket(bucket: str, prefix: str, storage_options: dict[str, str]) -> ObjectStore:
    """Open what lies below a prefix of an S3 bucket; unlike in a URI, no ``%20`` is decoded."""
    from obstore.store import S3Store

    config, client = _split(storage_options)
    return S3Store(bucket, prefix=prefix or None, config=config, client_options=client or None)  # type: ignore[arg-type]


def _split(storage_options: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the store, and of its HTTP client."""
    config: dict[str, Any] = {}
    client: dict[str, Any] = {}
    for name, value in storage_options.items():
        key = name.lower()
        bare = next((key.removeprefix(p) for p in _PREFIXES if key.startswith(p)), key)
        if bare in _CLIENT:
            client[bare] = value.lower() == "true" if value.lower() in ("true", "false") else value
        elif not key.startswith(_DELTA_ONLY):
            config[key] = value
    return config, client


class ObjectFiles:
    """Objects below a prefix; what the store has acknowledged is durable.

    Args:
        store: The store, with the prefix.
    """

    durable = True

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def walk(self, folder: str) -> Iterator[Entry]:
        """Every object below a folder."""
        import obstore

        pages = iter(obstore.list(self.store, f"{folder}/"))
        while True:
            with _answered(folder):
                page = next(pages, None)
            if page is None:
                return
            for meta in page:
                yield Entry(meta["path"], meta["size"], meta["last_modified"])

    def read(self, path: str) -> bytes:
        """All of an object."""
        import obstore

        with _answered(path):
            return bytes(obstore.get(self.store, path).bytes())

    def is_empty(self, path: str) -> bool:
        """Never: an object is there as a whole or not at all."""
        return False

    def source(self, path: str) -> Any:
        """A file object that reads ranges."""
        import obstore

        with _answered(path):
            return pa.PythonFile(_Stream(obstore.open_reader(self.store, path), path), mode="r")

    @contextmanager
    def creating(self, path: str) -> Iterator[Any]:
        """Context of a new object's sink; it comes into being when the context ends well."""
        import obstore

        # Left unclosed after an error: closing would publish the beginning as if it were all.
        writer = obstore.open_writer(self.store, path, max_concurrency=4)
        yield pa.PythonFile(_Stream(writer, path), mode="w")
        with _answered(path):
            writer.close()

    def start_sync(self, sink: Any) -> None:
        """Nothing: parts are sent as they fill."""

    def write(self, path: str, data: bytes) -> None:
        """Write an object."""
        import obstore

        with _answered(path):
            obstore.put(self.store, path, data)

    def create(self, path: str, data: bytes) -> None:
        """Write an object by a conditional request, which one of two writers loses."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with _answered(path):
            try:
                obstore.put(self.store, path, data, mode="create", use_multipart=False)
                return
            except (AlreadyExistsError, PreconditionError):
                # A request that was repeated is told so of itself, too.
                if bytes(obstore.get(self.store, path).bytes()) == data:
                    return
        raise FileExistsError(path)

    def move(self, path: str, to: str) -> None:
        """Copy an object, then delete it: at every instant it has one of the two names, or both."""
        import obstore

        with _answered(path):
            obstore.copy(self.store, path, to)
            obstore.delete(self.store, path)

    def delete(self, path: str) -> None:
        """Delete an object."""
        import obstore

        with suppress(FileNotFoundError), _answered(path):
            obstore.delete(self.store, path)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Nothing to lock: a commit is a conditional request, which one of two writers loses."""
        yield

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Nobody is kept from committing."""
        yield False

    def sync(self, paths: Sequence[str]) -> None:
        """Nothing to wait for."""


@contextmanager
def _answered(path: str) -> Iterator[None]:
    """Say what an object store refused; that an object is missing stays FileNotFoundError."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except NotFoundError as error:
        raise FileNotFoundError(path) from error
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:  # its files, unlike its functions, raise OSError
        raise LakeUnusable(
            f"{path} in the lake's object store: {say_answer(error)}; check lake_uri, "
            "storage_options and the store"
        ) from error


def say_answer(error: Exception) -> str:
    """What an object store answered, or else the first line: the rest is the client's state."""
    text = str(error)
    answer = re.search(r"<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>", text)
    return f"{answer[1]}: {answer[2].rstrip('.')}" if answer else text.partition("\n")[0]


class _Stream:
    """A file of obstore as Arrow wants one: there ``closed`` is a method, which reads as true.

    Closing is left to whoever opened the file.
    """

    closed = False

    def __init__(self, file: Any, path: str) -> None:
        self._file = file
        self._path = path

    def read(self, size: int = -1) -> bytes:
        with _answered(self._path):
            return bytes(self._file.read() if size < 0 else self._file.read(size))

    def seek(self, place: int, whence: int = 0) -> int:
        return int(self._file.seek(place, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def write(self, data: Any) -> int:
        with _answered(self._path):
            return int(self._file.write(data))

    def flush(self) -> None:
        """Nothing: parts are sent when they are full, and the rest at the end."""

    def close(self) -> None:
        """Nothing: see the class."""

"""Where studies are kept: a journal file in the home, or a database. Needs optuna."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages.journal import JournalFileOpenLock  # noqa: TID253

from boatseg_core.errors import TrainingError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from boatseg_core.config import Settings


class ProcessLock(JournalFileOpenLock):
    """A lock of the operating system, which a killed process gives back by dying.

    Optuna's own are files, which outlive their process: everyone else would wait 30 s for them.

    Args:
        filepath: The file to guard; the lock is a file beside it.
    """

    def __init__(self, filepath: str) -> None:
        super().__init__(filepath)
        self._path = f"{filepath}.flock"
        self._held = -1

    def acquire(self) -> bool:
        """Wait for the lock."""
        number = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
        except BaseException:
            os.close(number)
            raise
        self._held = number
        return True

    def release(self) -> None:
        """Give it back."""
        number, self._held = self._held, -1
        os.close(number)


def open_storage(settings: Settings) -> BaseStorage:
    """Open ``tune.storage``, or the journal in the home.

    Raises:
        TrainingError: It cannot be reached or read, or the database's driver is missing.
    """
    with storage_errors(settings):
        if settings.tune.storage:
            return _database(settings.tune.storage)
        return _journal(settings.paths.optuna_journal)


def _journal(file: Path) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = ProcessLock(str(file))
    _mend(file, lock)
    return JournalStorage(JournalFileBackend(str(file), lock))


def _mend(file: Path, lock: ProcessLock) -> None:
    """Cut a last line that was not written to its end: the next one would be glued to it."""
    lock.acquire()
    try:
        if not file.exists():
            return
        with file.open("rb+") as journal:
            end = journal.seek(0, os.SEEK_END)
            if end == 0:
                return
            start = max(0, end - 2**20)
            journal.seek(start)
            tail = journal.read()
            if not tail.endswith(b"\n"):
                journal.truncate(start + tail.rfind(b"\n") + 1)
    finally:
        lock.release()


def _database(url: str) -> BaseStorage:
    from optuna.storages import RDBStorage

    options: dict[str, Any] = {"pool_pre_ping": True}  # a server that was started anew is no error
    return RDBStorage(url, engine_kwargs=options)


@contextmanager
def storage_errors(settings: Settings) -> Iterator[None]:
    """Put the failures of a storage into one sentence."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    where = public(settings)
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        told = error.__cause__ or error
        hint = (
            ": look after the database, or leave tune.storage empty to keep studies in the home"
            if settings.tune.storage
            else ""
        )
        raise TrainingError(f"the studies in {where} cannot be used ({_first(told)}){hint}") from (
            error
        )
    except ImportError as error:
        raise TrainingError(
            f"tune.storage {where} needs a driver that is not installed ({error}): for PostgreSQL "
            "install boatseg[postgres]"
        ) from error
    except (ValueError, KeyError) as error:  # json's own among them
        if not settings.tune.storage and _is_of_journal(error):
            raise TrainingError(
                f"the journal {where} is damaged ({_first(error)}): move it away to begin anew"
            ) from error
        raise


def public(settings: Settings) -> str:
    """Name the storage without its password."""
    if not settings.tune.storage:
        return str(settings.paths.optuna_journal)
    scheme, _, rest = settings.tune.storage.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _is_of_journal(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name in ("read_logs", "apply_logs"):
            return True
        trace = trace.tb_next
    return False


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

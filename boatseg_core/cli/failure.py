"""What a failure looks like: one line and an exit code, or a traceback where it is a bug."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from boatseg_core.cli.screen import clean, err
from boatseg_core.errors import BoatsegError, ConfigError, InputError

FAILED = 1
MISUSED = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED = 141  # 128 + SIGPIPE

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # libraries put them into their messages
# A disk that is full or read-only is the user's to mend, wherever it is met.
_DISK = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)


@contextmanager
def reported() -> Iterator[None]:
    """Turn failures with a cause outside the code into a line on stderr and an exit code."""
    try:
        yield
        sys.stdout.flush()  # a closed pipe has to be met here, not in the interpreter's shutdown
    except BoatsegError as error:
        say_error(str(error))
        sys.exit(MISUSED if isinstance(error, InputError | ConfigError) else FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        forget_stdout()
        sys.exit(PIPE_CLOSED)
    except MemoryError as error:
        words = str(error)
        say_error(
            f"memory ran out{f' ({words})' if words else ''}: end other programs, or raise the "
            "limit that this one has"
        )
        sys.exit(FAILED)
    except OSError as error:
        if ".parquet" in str(error):  # of a table: nothing else is stored so
            first = str(error).splitlines()[0]
            say_error(
                f"a table cannot be read: {first}; `boatseg lake doctor` says what is damaged"
            )
            sys.exit(FAILED)
        if error.errno not in _DISK:
            raise
        where = f" ({error.filename})" if error.filename else ""
        say_error(f"the disk cannot be written to: {error.strerror}{where}")
        sys.exit(FAILED)


def say_error(message: str) -> None:
    """Print ``error: ...`` on one line of stderr, however long it is."""
    from rich.text import Text

    plain = " ".join(_COLOUR.sub("", message).split())
    line = Text.assemble(("error: ", "bold red"), clean(plain))
    err().print(line, soft_wrap=True)


def forget_stdout() -> None:
    """Point stdout nowhere, so that what is still buffered does not fail again at exit."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # not a real file, as under a test runner
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)

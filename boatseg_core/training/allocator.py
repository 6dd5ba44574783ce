"""Keeps a training's memory from going back and forth between the C library and the kernel."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Parameters of mallopt(3), from glibc's <malloc.h>.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_NEVER: Final = 2**31 - 1  # bytes; the largest that mallopt takes
# What glibc's own thresholds grow to at most. Once set they no longer adapt, so that the first
# values, which every process starts with, would be worse than what a training found.
_USUAL: Final = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}
_SET_BY_USER: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@contextmanager
def memory_kept(kind: str) -> Iterator[bool]:
    """Hold on to freed memory inside the block, where that is known to pay.

    The activations of a step on a CPU are freed at its end. By default the GNU C library maps each
    large one anew, or gives the top of its heap back, and the kernel clears all of it in the next
    step: a fifth of its time. Inside the block nothing below 2 GiB is mapped and nothing is given
    back; afterwards everything that is free is.

    Nothing is changed elsewhere than on glibc, nor where the environment already says how
    (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``, ``GLIBC_TUNABLES``), nor where the
    addresses of the process are limited (``ulimit -v``): a heap that keeps them all leaves none
    for what is mapped, oneDNN's code for one.

    Args:
        kind: What computes, ``cpu`` or ``cuda``.

    Yields:
        Whether it was changed.
    """
    free = kind == "cpu" and not any(map(os.environ.get, _SET_BY_USER)) and not _limited()
    library = _glibc() if free else None
    if library is None:
        yield False
        return
    try:
        done = [library.mallopt(name, _NEVER) for name in _USUAL]
        yield all(done)
    finally:
        for name, value in _USUAL.items():
            library.mallopt(name, value)
        library.malloc_trim(0)


def give_back() -> None:
    """Give what is free to the kernel at once, inside of :func:`memory_kept`, too."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _limited() -> bool:
    """Whether the process may only have so many bytes of addresses."""
    try:
        import resource
    except ImportError:  # not on Windows
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _glibc() -> ctypes.CDLL | None:
    """The GNU C library of this process, if it has that one."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None

"""Which process runs a trial, and whether it still does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_SPACE = Path("/proc/self/ns/pid")


def this_process() -> str:
    """Name this process: where its number means something, the number, when it started."""
    return f"{_where()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(process: str) -> bool | None:
    """Whether a process has ended.

    Args:
        process: As :func:`this_process` named it.

    Returns:
        None where that cannot be seen from here: on another machine, or in another container.
    """
    where, _, rest = process.partition("/")
    number, _, started = rest.partition("/")
    if where != _where() or not number.isdigit():
        return None
    return _started(int(number)) != started


def _where() -> str:
    # Numbers begin anew with every boot and in every container.
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown"
    space = str(_PID_SPACE.readlink()) if _PID_SPACE.is_symlink() else "pid"
    return f"{socket.gethostname()}:{boot}:{space}"


def _started(pid: int) -> str:
    """Start of a process, so that its number used again is not taken for it; empty if gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return ""
    else:
        # A killed process whose parent has not looked yet does not run any more.
        return "" if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"

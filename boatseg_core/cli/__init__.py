"""The ``boatseg`` command.

One module per command or family of commands; none is imported before its command runs, so that
``boatseg --help`` answers at once and a command pays only for the rooms it uses.
"""

from __future__ import annotations

import io
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; never returns."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or a pipe without Unicode gets escapes, not a crash.
            stream.reconfigure(errors="backslashreplace")
    try:
        from boatseg_core.cli.root import root

        root(prog_name="boatseg")
    except KeyboardInterrupt:  # while the command line itself was loading
        raise SystemExit(130) from None

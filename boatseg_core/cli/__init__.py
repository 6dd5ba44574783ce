"""The ``boatseg`` command.

One module per command or family of commands; none is imported before its command runs, so that
``boatseg --help`` answers at once and a command pays only for the rooms it uses.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; never returns."""
    try:
        from boatseg_core.cli.root import root

        root(prog_name="boatseg")
    except KeyboardInterrupt:  # while the command line itself was loading
        raise SystemExit(130) from None

"""What the rooms below log as a warning is a remark on stderr, between the progress bars."""

from __future__ import annotations

import logging

from boatseg_core.cli import screen

_LOGGER = "boatseg_core.lake"


class _Remarks(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print a record as a line of its own."""
        screen.note(record.getMessage())


def show_remarks() -> None:
    """Print what the lake warns of, from now on; a second call changes nothing."""
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(handler, _Remarks) for handler in logger.handlers):
        logger.addHandler(_Remarks(logging.WARNING))

"""Errors a user can act on.

Every failure with a cause outside the code (a file, a row, a setting, a disk) is raised as a
:class:`BoatsegError` whose message is one sentence or two: what is wrong, where, and what to do.
The command line and the service print exactly that message and no traceback; anything else that
escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class BoatsegError(Exception):
    """Base of all errors with a message meant for the user."""


class ConfigError(BoatsegError):
    """A setting is missing, unknown or out of range."""


class InputError(BoatsegError):
    """An argument, file or row given by the user cannot be used."""


class ImageError(BoatsegError):
    """The bytes of one image cannot be read.

    Attributes:
        reason: Short machine-readable reason, one of the values listed in
            :data:`boatseg_core.imaging.decode.REASONS`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RleError(BoatsegError):
    """A run-length string is not a valid mask.

    Attributes:
        reason: Short machine-readable reason, for example ``odd_length``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class LakeError(BoatsegError):
    """A table is missing, damaged or was changed under us."""


class LakeUnusable(LakeError):
    """Nothing can be committed to a table, whichever batch is tried.

    The disk is full, the store refuses, or the table's log is damaged.
    """


class LostRace(LakeError):
    """Another process wrote the same batch at the same time; its rows are there."""


class TrainingError(BoatsegError):
    """Training cannot start or cannot go on."""


class RegistryError(BoatsegError):
    """A model, version or alias is not in the registry, or its files are not as registered."""

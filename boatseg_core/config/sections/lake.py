"""Upkeep of the tables."""

from __future__ import annotations

from boatseg_core.config.sections.base import Section, setting


class Upkeep(Section):
    """How the tables are kept safe, small and fast."""

    durable: bool = setting(
        True, "", "A commit on this machine waits until it is on the disk (fsync)."
    )
    keep_days: float = setting(
        30.0, "days", "Files that no table version of these days needs are vacuumed.", ge=0
    )
    log_days: float = setting(
        365.0, "days", "Older log entries are cleaned up once a checkpoint stands for them.", ge=1
    )
    small_bytes: int = setting(
        32 * 2**20, "bytes", "Data files below this size are compacted into larger ones.", ge=1
    )

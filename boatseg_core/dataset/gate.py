"""May a batch go into gold? One answer for Dagster's blocking checks and for ``boatseg ingest``.

A batch is broken when a file of it has no row, or more than one, or when most of it is rejected.
It stays out of gold until its files or the criteria were put right; what gold has of it from before
stays as it is.
"""

from __future__ import annotations

from boatseg_core.config import Settings
from boatseg_core.errors import BoatsegError
from boatseg_core.ingest.completeness import Completeness, completeness
from boatseg_core.lake import Lake
from boatseg_core.monitoring.rejection import Rejection, rejections

_REASONS = 4


class BrokenBatch(BoatsegError):
    """A batch must not go into gold."""


def check_batch(lake: Lake, batch_id: str, settings: Settings) -> None:
    """Let a sound batch pass.

    Args:
        lake: The lake.
        batch_id: A batch that was read and judged.
        settings: What share may be rejected.

    Raises:
        BrokenBatch: It is broken; the message says why, and what to do.
    """
    found = completeness(lake, batch_id)
    if found.problems:
        raise BrokenBatch(
            f"batch {batch_id} is broken and was not joined to gold: {say_files(found)}, for "
            f"example {found.problems[0]}; run `boatseg ingest` again, and `boatseg lake doctor` "
            "if it stays so"
        )
    (now,) = rejections(lake, batch_id)
    if is_broken(now, settings):
        raise BrokenBatch(
            f"batch {batch_id} is broken and was not joined to gold: "
            f"{say_rejected(now)}; {say_limit(now, settings)}"
        )


def in_one(broken: dict[str, str]) -> BrokenBatch:
    """The one error that a command ends with, of what was said of each broken batch."""
    if len(broken) == 1:
        return BrokenBatch(*broken.values())
    return BrokenBatch(
        f"{len(broken):,} batches are broken and were not joined to gold:\n"
        + "\n".join(f"- {message}" for message in broken.values())
    )


def is_broken(counted: Rejection, settings: Settings) -> bool:
    """Whether so much of a batch was rejected that nobody should train on the rest.

    Two bad files of three say nothing about the camera: a few files are never a broken batch.
    """
    enough = counted.files >= settings.history.min_images
    return enough and counted.share > 1 - settings.quality.broken_pass_rate


def say_files(found: Completeness) -> str:
    """What is wrong with the rows of an incomplete batch, in numbers."""
    return (
        f"{len(found.missing)} sealed files are neither in raw_images nor in quarantine, "
        f"{len(found.repeated)} have more than one row, {len(found.unknown)} were not sealed"
    )


def say_rejected(counted: Rejection) -> str:
    """What share of a batch was rejected, and why."""
    reasons = sorted(
        (counted.quarantined | counted.unmet).items(), key=lambda item: (-item[1], item[0])
    )
    why = ", ".join(f"{number} {name}" for name, number in reasons[:_REASONS])
    share = f"{counted.share:.1%} of {counted.files} files were rejected"
    return f"{share} ({why})" if why else share


def say_limit(counted: Rejection, settings: Settings) -> str:
    """What a broken batch is, and what to do about this one."""
    return (
        f"more than {1 - settings.quality.broken_pass_rate:.1%} mean a broken batch, which stops "
        f"before gold: see boatseg quarantine list --batch {counted.batch_id} and the reasons in "
        "image_quality, then put the files or the criteria right, or lower quality.broken_pass_rate"
    )

"""What keeps a batch from being built, and whether the others go on without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from boatseg_core.cli import screen
from boatseg_core.cli.failure import say_error
from boatseg_core.errors import BoatsegError, InputError, LakeError, LakeUnusable, LostRace

if TYPE_CHECKING:
    from boatseg_core.cli.ingest_steps import Totals

_SENTENCES = 3


@contextmanager
def set_aside(batch: str, totals: Totals) -> Iterator[None]:
    """Note down what is wrong with one batch, so that the next one is built all the same.

    A source that cannot be read, or a data file of the batch that is damaged, is of this batch. Not
    so what would fail every other batch, too, after all of its pictures had been decoded: a disk
    that is full, a store that refuses, a table whose log is damaged. That stops the command.
    """
    from boatseg_core.dataset.gate import BrokenBatch

    try:
        yield
    except LakeUnusable:
        raise
    except LostRace:  # its rows are there: the next round looks again
        screen.note(f"{batch}  another process is building it")
    except BrokenBatch as error:
        totals.broken[batch] = str(error)
    except (InputError, LakeError) as error:
        screen.note(f"{batch}  {error}")
        totals.failed[batch] = error


def end(totals: Totals) -> None:
    """End the command well, or with everything that went wrong.

    Raises:
        BoatsegError: The last of what went wrong; the others are printed like it.
    """
    from boatseg_core.dataset.gate import in_one

    problems: list[BoatsegError] = list(totals.trouble)
    if totals.failed:
        problems.append(_in_one(totals.failed))
    if totals.broken:
        problems.append(in_one(totals.broken))
    if problems:
        *others, last = problems
        for error in others:
            say_error(str(error))
        raise last


def _in_one(failed: dict[str, BoatsegError]) -> BoatsegError:
    """One error of those of many batches: the same sentence is said once."""
    kind = InputError if all(isinstance(e, InputError) for e in failed.values()) else LakeError
    batches: dict[str, list[str]] = {}
    for batch, error in failed.items():
        batches.setdefault(str(error), []).append(batch)
    said = [f"{_name(names)}: {text}" for text, names in list(batches.items())[:_SENTENCES]]
    if len(batches) > _SENTENCES:
        said.append(f"and {len(batches) - _SENTENCES:,} other reasons, above")
    number = screen.counted(len(failed), "batch", "batches")
    return kind(
        f"{number} could not be built, and the others were not kept from it; `boatseg ingest` "
        f"tries again. {'; '.join(said)}"
    )


def _name(batches: list[str]) -> str:
    more = f" and {len(batches) - 1:,} more" if len(batches) > 1 else ""
    return f"{batches[0]}{more}"

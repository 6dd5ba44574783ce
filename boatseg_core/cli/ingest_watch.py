"""``boatseg ingest --watch``: look again and again, politely, whatever happens meanwhile."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from boatseg_core.cli import screen
from boatseg_core.cli.ingest_progress import Progress
from boatseg_core.cli.ingest_steps import Totals, Work, build, to_read
from boatseg_core.errors import BoatsegError, LostRace

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.ingest.ahead import Reading
    from boatseg_core.lake import Lake

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 10.0, 3600.0  # s, before a batch that failed is tried again
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Watch:
    """Brings what arrives to gold until it is told to stop.

    Args:
        lake: The lake.
        settings: Settings in force.
        every: Least seconds between two looks. A look that takes longer is followed by as long a
            pause, so that a slow listing never keeps a disk busy more than half of the time.
    """

    def __init__(self, lake: Lake, settings: Settings, every: float) -> None:
        self.lake, self.settings, self.every = lake, settings, every
        self.stopping = threading.Event()
        self._after = ""
        self._told: set[str] = set()
        self._trouble: dict[str, str] = {}
        self._failures: dict[str, tuple[int, float]] = {}

    def run(self) -> None:
        """Look until Ctrl-C or SIGTERM; the batch at hand is finished then."""
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        screen.note(f"watching {self.settings.images_location} (Ctrl-C ends)")
        try:
            while not self.stopping.is_set():
                started = time.monotonic()
                more = self.look()
                taken = time.monotonic() - started
                self.stopping.wait(0 if more else max(self.every, taken))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        screen.note("stopped: nothing is half done, and nothing is lost")

    def look(self) -> bool:
        """Look once, and build what is outdated.

        Returns:
            Whether the listing was cut off and goes on at once.
        """
        self._attempt("labels", self._load_labels)
        sealed = self._attempt("files", self._seal)
        self._attempt("batches", self._build)
        return bool(sealed)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.stopping.is_set():
            raise KeyboardInterrupt  # asked twice: now
        self.stopping.set()

    def _attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """Do something; say what is wrong with it once, and once that it is over."""
        try:
            result = work()
        except (BoatsegError, OSError) as error:
            message = str(error)
            if self._trouble.get(what) != message:
                screen.note(f"{message}; looking again")
            self._trouble[what] = message
            return None
        if self._trouble.pop(what, None):
            screen.note(f"{what} can be read again")
        return result

    def _load_labels(self) -> None:
        from boatseg_core.labels.ingest import load, new_files

        if not new_files(self.lake, self.settings):
            return
        done = load(self.lake, self.settings)
        for message in done.refused.values():
            screen.note(message)
        if done.files:
            screen.say(f"labels  {screen.counted(done.rows, 'row')} from {', '.join(done.files)}")

    def _seal(self) -> bool:
        from boatseg_core.ingest.seal import seal

        bounds = self.settings.seal
        found = seal(
            self.lake,
            self.settings,
            after=self._after,
            max_files=bounds.tick_files,
            seconds=bounds.tick_seconds,
        ).discovery
        self._after = found.after
        wrong = [f"{name} is not named in UTF-8: rename it" for name in found.unnameable]
        wrong += [f"{problem}: left out until it can be read" for problem in found.unreadable]
        for message in wrong:
            if message not in self._told:
                screen.note(message)
        # A listing that was cut off has only seen a part of what is wrong.
        self._told = set(wrong) if found.complete else self._told | set(wrong)
        return not found.complete

    def _build(self) -> None:
        from boatseg_core.dataset.staleness import all_reasons
        from boatseg_core.ingest.ahead import Reading
        from boatseg_core.ingest.reconcile import sealed_batches

        now = time.monotonic()
        outdated = {
            batch: reasons
            for batch, reasons in all_reasons(self.lake, self.settings).items()
            if self._failures.get(batch, (0, 0.0))[1] <= now
        }
        if not outdated:
            return
        sizes = sealed_batches(self.lake)
        with Reading(self.lake, self.settings, to_read(outdated.items())) as reading:
            self._build_all(outdated, sizes, reading)

    def _build_all(
        self, outdated: dict[str, tuple[str, ...]], sizes: dict[str, int], reading: Reading
    ) -> None:
        for batch, reasons in outdated.items():
            if self.stopping.is_set():
                return
            try:
                self._build_one(batch, reasons, sizes[batch], reading)
            except (BoatsegError, OSError) as error:
                failed = self._failures.get(batch, (0, 0.0))[0] + 1
                wait = min(_FIRST_WAIT * 2.0 ** (failed - 1), _LONGEST_WAIT)
                self._failures[batch] = (failed, time.monotonic() + wait)
                screen.note(f"{batch}  {_say(error)}; trying again in {wait:.0f} s")
            else:
                self._failures.pop(batch, None)

    def _build_one(
        self, batch: str, reasons: tuple[str, ...], files: int, reading: Reading
    ) -> None:
        totals, started = Totals(), time.monotonic()
        with Progress() as bar:
            bar.at = batch
            bar.expect(files)
            work = Work(self.lake, self.settings, totals, reading)
            build(work, batch, reasons, bar.step(files, totals))
        seconds = time.monotonic() - started
        parts = [f"built again (it was outdated: {reasons[0]})"]
        if totals.images or totals.refused:
            parts = [f"{totals.images:,} of {screen.counted(files, 'file')} read"]
            parts += [f"{len(totals.refused):,} quarantined"] if totals.refused else []
        parts += [f"{totals.passed:,} passed"] if totals.judged else []
        parts += [f"{totals.gold:,} in gold"]
        rate = f", {totals.images / seconds:,.0f} images/s, {screen.size(totals.bytes_read)}"
        tail = f"({seconds:.1f} s{rate if totals.images else ''})"
        screen.say(f"{batch}  {', '.join(parts)}  {tail}")


def _say(error: BoatsegError | OSError) -> str:
    """What went wrong, for somebody who need not do anything."""
    return "another process is building it" if isinstance(error, LostRace) else str(error)

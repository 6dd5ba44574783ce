"""The progress bar of ``boatseg ingest``: files and megabytes a second, and the time left."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import MofNCompleteColumn, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from boatseg_core.cli import screen

if TYPE_CHECKING:
    from boatseg_core.cli.ingest_steps import Totals


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        seconds = task.elapsed or 0.0
        if not seconds or not task.completed:
            return Text("")
        megabytes = task.fields["bytes"] / 1e6 / seconds
        return Text(f"{task.completed / seconds:,.0f} files/s, {megabytes:,.1f} MB/s")


class Progress:
    """Progress on stderr over the files of many batches; silent where stderr is no terminal.

    Attributes:
        at: Batch at hand, for the line before the bar.
    """

    def __init__(self) -> None:
        self.at = ""
        self._bar = screen.progress(MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        self._task = self._bar.add_task("", total=0, bytes=0)
        self._files = 0
        self._done = 0

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def expect(self, files: int) -> None:
        """Announce files to come."""
        self._files += files
        self._bar.update(self._task, total=self._files)

    def step(self, files: int, totals: Totals) -> Callable[[str, float], None]:
        """Follow a batch of so many files; see :func:`boatseg_core.cli.ingest_steps.build`."""
        before = self._done

        def each(name: str, share: float) -> None:
            self._done = before + round(files * share)
            self._bar.update(
                self._task,
                description=f"{self.at} {name}",
                completed=self._done,
                bytes=totals.bytes_read,
            )

        return each

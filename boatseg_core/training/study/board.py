"""The table of a running study: live on a terminal, lines everywhere else."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from boatseg_core.training.result import Entry
from boatseg_core.training.study.rows import TrialRow

_STYLES = {
    "complete": "green",
    "running": "cyan",
    "pruned": "yellow",
    "failed": "red",
    "lost": "red",
}
_REASON = 120  # characters; the whole of it is told at the end
_FRAME = 6  # lines of the table that are not trials
_SHORT = {"learning_rate": "lr", "positive_share": "share", "architecture": "", "loss": ""}


class Board:
    """Shows the trials of one call; watches a :func:`boatseg_core.training.tune.tune`.

    Args:
        console: Where to; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._rows: dict[int, TrialRow] = {}
        self._began: dict[int, float] = {}
        self._live: Live | None = None

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self.table, console=self._console, refresh_per_second=2
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, row: TrialRow) -> None:
        """A trial starts."""
        self._rows[row["number"]] = {**row, "progress": ""}
        self._began[row["number"]] = time.monotonic()
        again = "" if row["retry_of"] is None else f" (as trial {row['retry_of']}, which was lost)"
        self._print(f"trial {row['number']} starts{again}: {told(row['params'])}")

    def validated(self, number: int, entry: Entry) -> None:
        """Show the newest validation."""
        row = self._rows.get(number)
        if row is None:
            return
        row["value"] = entry["valid_per_image_iou"] - entry["valid_floor_per_image_iou"]
        row["boat_iou"] = entry["valid_boat_iou"]
        row["progress"] = f" at step {entry['step']:.0f}"
        self._print(f"trial {number}{row['progress']}: {_figures(row)}")

    def ended(self, row: TrialRow) -> None:
        """Show how it ended."""
        self._rows[row["number"]] = {**row, "progress": ""}
        reason = f", {row['reason']}" if row["reason"] else ""
        self._print(f"trial {row['number']} {row['state']}{reason}: {_figures(row)}")

    def table(self) -> RenderableType:
        """Draw the table; the newest trials where the terminal is too low for all."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for heading in ("trial", "state", "parameters", "over nothing", "boat IoU", "elapsed"):
            right = heading in ("trial", "over nothing", "boat IoU", "elapsed")
            table.add_column(
                heading,
                justify="right" if right else "left",
                no_wrap=heading != "parameters",
                overflow="fold",
            )
        done = [row for row in self._rows.values() if row["state"] == "complete"]
        best = max(done, key=lambda row: row["value"], default=None)
        # Two lines each where the parameters are folded.
        shown = list(self._rows.values())[-max(3, (self._console.height - _FRAME) // 2) :]
        for row in shown:
            state = Text(row["state"] + row["progress"], _STYLES.get(row["state"], ""))
            what = Text(told(row["params"]))
            if row["state"] in ("failed", "lost") and row["reason"]:
                what.append(f"\n{_short(row['reason'])}", "dim")
            style = "bold" if best is not None and row["number"] == best["number"] else ""
            table.add_row(
                str(row["number"]),
                state,
                what,
                _figure(row["value"], "+.3f"),
                _figure(row["boat_iou"], ".3f"),
                _clock(self._elapsed(row)),
                style=style,
            )
        return table

    def _elapsed(self, row: TrialRow) -> float:
        if row["state"] == "running":
            return time.monotonic() - self._began[row["number"]]
        return float(row["seconds"])

    def _print(self, line: str) -> None:
        if self._live is None:
            # A log file is not 80 columns wide, whatever the terminal size is said to be.
            self._console.print(Text(line), soft_wrap=True)


def told(params: dict[str, Any]) -> str:
    """Write parameters on one line: ``Unet tu-resnet18 lr 0.0012 bce_dice share 0.75 crop 192``."""
    parts = []
    for name, value in params.items():
        label = _SHORT.get(name, "" if name == "encoder" else name)
        text = f"{value:.2g}" if isinstance(value, float) else str(value)
        parts.append(f"{label} {text}".strip())
    return " ".join(parts)


def _short(reason: str) -> str:
    return reason if len(reason) <= _REASON else f"{reason[: _REASON - 1]}…"


def _figures(row: TrialRow) -> str:
    return (
        f"{_figure(row['value'], '+.3f')} over nothing, boat IoU {_figure(row['boat_iou'], '.3f')}"
    )


def _figure(value: float, style: str) -> str:
    return format(value, style) if math.isfinite(value) else "–"


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

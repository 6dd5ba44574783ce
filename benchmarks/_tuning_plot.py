"""The picture of the benchmark of studies."""

from __future__ import annotations

import io
import statistics
from typing import TYPE_CHECKING, Any

from _trials import Curve
from _tuning_replay import Replayed, best_at, mean_path

from boatseg_core.training.study.pruning import objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _SOFT, _GRID = "#17212b", "#566472", "#dfe5ea"
_LOOKS = {  # Okabe and Ito's colours
    "none": ("#566472", "without pruning"),
    "median": ("#0072b2", "median"),
    "hyperband": ("#d55e00", "Hyperband"),
}


def draw(played: dict[str, list[Replayed]], curves: list[Curve]) -> bytes:
    """Draw the trials as the median pruner ends them, and the best value over compute, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1, 1.25)})
    _trials(left, curves, played["median"][0] if "median" in played else None)
    _race(right, played, curves)
    for axes in (left, right):
        _style(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def draw_live(pairs: list[dict[str, Any]]) -> bytes:
    """Draw the best value of live studies over the steps spent, a field a pair, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (2.4 * len(pairs) + 0.6, 2.7)
    figure = Figure(figsize=size, dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    fields = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    for axes, pair in zip(fields, pairs, strict=True):
        for pruner in ("none", "median"):
            colour, label = _LOOKS[pruner]
            steps, values = zip(*pair[pruner]["path"], strict=True)
            end = pair[pruner]["steps"]
            axes.step([*steps, end], [*values, values[-1]], where="post", color=colour, label=label)
        _style(axes)
        axes.set_title(f"seed {pair['seed']}", loc="left", fontsize=10, fontweight="bold")
        axes.set_xlabel("steps spent", fontsize=8.5, color=_SOFT)
    fields[0].set_ylabel("best so far: per-image IoU\nabove predicting nothing", fontsize=8.5)
    fields[-1].legend(fontsize=8, frameon=False, loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _style(axes: Axes) -> None:
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(labelsize=8, colors=_SOFT, length=0)


def _trials(axes: Axes, curves: list[Curve], run: Replayed | None) -> None:
    for number, curve in enumerate(curves):
        entries = curve["entries"]
        lived = run.ends[number] if run else len(entries)
        x = [int(entry["step"]) for entry in entries]
        y = [objective(entry) for entry in entries]
        axes.plot(x[lived - 1 :], y[lived - 1 :], ":", color=_GRID, linewidth=1.2, zorder=1)
        whole = lived == len(entries)
        colour = _LOOKS["median"][0] if whole else "#cc79a7"
        axes.plot(x[:lived], y[:lived], color=colour, linewidth=1.0, alpha=0.8, zorder=2)
        if not whole:
            axes.plot(x[lived - 1], y[lived - 1], "v", color=colour, ms=4, zorder=3)
    _title(axes, "Trials, and where the median ends them", "step of the trial")


def _race(axes: Axes, played: dict[str, list[Replayed]], curves: list[Curve]) -> None:
    full = int(curves[0]["entries"][-1]["step"])
    whole = full * len(curves)
    for pruner, runs in played.items():
        colour, label = _LOOKS[pruner]
        spent = round(statistics.mean(run.steps for run in runs))
        x = list(range(0, whole + 1, max(1, full // 8)))
        mean = mean_path(runs, whole)
        axes.plot([s / full for s in x], [mean[s] for s in x], color=colour, lw=1.8, label=label)
        axes.plot(spent / full, mean[spent], "o", color=colour, ms=5, zorder=4)
        quarters = [_quarters([best_at(run, s) for run in runs]) for s in x]
        low, high = zip(*quarters, strict=True)
        axes.fill_between([s / full for s in x], low, high, color=colour, alpha=0.1, linewidth=0)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    _title(
        axes,
        f"Best value found: mean and quartiles of {len(played['none'])} orders",
        f"compute spent, in trainings of {full} steps (dot: all {len(curves)} done)",
    )


def _quarters(values: list[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def _title(axes: Any, title: str, x: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=_INK)
    axes.set_xlabel(x, fontsize=8.5, color=_SOFT)
    axes.set_ylabel("per-image IoU above\npredicting nothing", fontsize=8.5, color=_SOFT)

"""Pictures of a study: how it went, what mattered, which choices went together.

By matplotlib's object interface: Optuna's own pictures go through pyplot, whose state is shared by
all threads of a process.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from boatseg_core.training.study.rows import TrialRow, row_of

if TYPE_CHECKING:
    import optuna
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _SOFT, _GRID = "#17212b", "#566472", "#dfe5ea"
_BLUE, _ORANGE, _PINK = "#0072b2", "#d55e00", "#cc79a7"  # Okabe and Ito's
_LOOKS = {"complete": (_BLUE, "o"), "pruned": (_ORANGE, "v")}
_NAMES = {"learning_rate": "learning rate", "positive_share": "crops near objects"}
_FEWEST = 4  # complete trials, below which an importance says nothing


def draw(study: optuna.Study, class_name: str) -> dict[str, bytes]:
    """Draw what can be drawn of a study.

    Args:
        study: Its trials are read.
        class_name: What one object is called.

    Returns:
        PNGs: ``history`` and ``parallel_coordinates`` once a trial has a value, ``importance`` once
        four are complete, and differ.
    """
    rows = [row_of(trial) for trial in study.get_trials(deepcopy=False)]
    judged = [r for r in rows if r["state"] in _LOOKS and math.isfinite(r["value"]) and r["params"]]
    plots = {}
    if judged:
        plots["history"] = _history(rows, judged, class_name)
        plots["parallel_coordinates"] = _parallel(judged)
    complete = [row["value"] for row in judged if row["state"] == "complete"]
    if len(complete) >= _FEWEST and max(complete) > min(complete):
        plots["importance"] = _importance(study, len(complete))
    return plots


def _history(rows: list[TrialRow], judged: list[TrialRow], class_name: str) -> bytes:
    from matplotlib.ticker import MaxNLocator

    figure, axes = _canvas(6.6, 3.2, "Trials")
    for state, (colour, marker) in _LOOKS.items():
        some = [row for row in judged if row["state"] == state]
        x = [row["number"] for row in some]
        axes.plot(x, [r["value"] for r in some], marker, color=colour, ms=5, label=state)
    boats = [r["boat_iou"] for r in judged]
    numbers = [r["number"] for r in judged]
    label = f"IoU on {class_name} images"
    axes.plot(numbers, boats, "_", color=_SOFT, ms=8, mew=1.4, label=label)
    lost = [row["number"] for row in rows if row["state"] in ("failed", "lost")]
    if lost:
        bottom = min(0.0, *(row["value"] for row in judged))
        axes.plot(lost, [bottom] * len(lost), "x", color=_PINK, ms=5, label="failed or lost")
    best = -math.inf
    steps: list[float] = []
    for row in judged:
        if row["state"] == "complete":
            best = max(best, row["value"])
        steps.append(best if math.isfinite(best) else math.nan)
    axes.step(numbers, steps, where="post", color=_BLUE, linewidth=1.4, label="best so far")
    axes.axhline(0, color=_SOFT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xlabel("trial", fontsize=8.5, color=_SOFT)
    axes.set_ylabel("per-image IoU above\npredicting nothing", fontsize=8.5, color=_SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=5, fontsize=7.5, frameon=False)
    return _png(figure)


def _importance(study: optuna.Study, count: int) -> bytes:
    import optuna

    # PED-ANOVA (Watanabe et al. 2023) needs no forest, so no scikit-learn.
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    items = sorted(found.items(), key=lambda item: item[1])
    figure, axes = _canvas(6.6, 0.9 + 0.34 * max(2, len(items)), "What mattered")
    names = [_NAMES.get(name, name) for name, _ in items]
    shares = [share for _, share in items]
    bars = axes.barh(names, shares, color=_BLUE, height=0.6)
    axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=3, fontsize=8, color=_INK)
    axes.set_xlim(0, 1.12 * max([*shares, 1e-9]))
    axes.set_xlabel(f"share of importance, of {count} complete trials", fontsize=8.5, color=_SOFT)
    axes.grid(visible=False)
    return _png(figure)


def _parallel(rows: list[TrialRow]) -> bytes:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    names = [name for name in rows[0]["params"] if all(name in row["params"] for row in rows)]
    names = [name for name in names if len({row["params"][name] for row in rows}) > 1] or names
    figure, axes = _canvas(max(6.6, 1.5 * (len(names) + 1)), 3.4, "Choices that went together")
    values = [row["value"] for row in rows]
    low, high = min(values), max(values)
    # Reversed: the best trials are dark, where yellow would be lost on white.
    colours = ScalarMappable(Normalize(low, high if high > low else low + 1e-9), "viridis_r")
    scales = [_scale([row["params"][name] for row in rows], name) for name in names]
    for row in sorted(rows, key=lambda item: item["value"]):
        y = [place(row["params"][name]) for name, (place, _) in zip(names, scales, strict=True)]
        style = "-" if row["state"] == "complete" else ":"
        axes.plot(range(len(names)), y, style, color=colours.to_rgba(row["value"]), lw=1.5)
    for x, (_, ticks) in enumerate(scales):
        axes.axvline(x, color=_GRID, linewidth=1.2, zorder=0)
        for height, text in ticks:
            axes.annotate(
                text,
                (x, height),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=7.5,
                va="center",
                color=_INK,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            )
    axes.set_xticks(range(len(names)), [_NAMES.get(name, name) for name in names])
    axes.set_xlim(-0.15, len(names) - 0.35)
    axes.set_ylim(-0.08, 1.08)
    axes.set_yticks([])
    axes.grid(visible=False)
    bar = figure.colorbar(colours, ax=axes, fraction=0.04, pad=0.02)
    bar.ax.tick_params(labelsize=7.5, colors=_SOFT)
    bar.set_label("above predicting nothing (dotted: pruned)", fontsize=7.5, color=_SOFT)
    return _png(figure)


def _scale(values: Sequence[Any], name: str) -> tuple[Any, list[tuple[float, str]]]:
    """Places of values between 0 and 1, and what to write where."""
    if all(isinstance(value, float) for value in values):
        transform = math.log10 if name == "learning_rate" else float
        low, high = transform(min(values)), transform(max(values))
        width = high - low or 1.0
        middle = 10 ** ((low + high) / 2) if name == "learning_rate" else (low + high) / 2
        ticks = [(0.0, min(values)), (0.5, middle), (1.0, max(values))]
        return (
            lambda value: (transform(value) - low) / width,
            [(place, f"{value:.2g}") for place, value in ticks],
        )
    choices = sorted(set(values))
    places = {c: i / (len(choices) - 1) if len(choices) > 1 else 0.5 for i, c in enumerate(choices)}
    return places.__getitem__, [(place, str(choice)) for choice, place in places.items()]


def _canvas(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=_INK)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(labelsize=8, colors=_SOFT, length=0)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()

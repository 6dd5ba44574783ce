"""The figure of an evaluation. matplotlib is imported inside the functions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, as in gallery.plots: told apart by every eye.
_BLUE, _RED, _GREEN, _PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
_INK, _SOFT, _GRID = "#17212b", "#566472", "#dfe5ea"

# Behind words that lines may cross.
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}

_NAMES = {
    "boat_iou": "IoU, boat images",
    "large_boat_iou": "IoU, large boats",
    "per_image_iou": "IoU, all images",
    "dataset_iou": "IoU, all pixels",
    "f2": "F2, all images",
    "boat_f2": "F2, boat images",
    "recall": "boats found",
    "precision": "predictions true",
    "empty_false_positive_rate": "false alarms, empty images",
}


def title(name: str, class_name: str) -> str:
    """What a number is called for people."""
    return _NAMES.get(name, name.replace("_", " ")).replace("boat", class_name)


def figure(facts: Mapping[str, Any]) -> bytes:
    """Draw an evaluation: headlines, thresholds, reliability, sizes, conditions.

    Args:
        facts: :attr:`boatseg_core.training.evaluate.Evaluation.facts`.

    Returns:
        A PNG, 1500 x 940 pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(15, 9.4), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(drawn)
    axes = drawn.subplots(2, 3)
    noun = facts["model"]["class_name"]
    _headlines(axes[0, 0], facts["headlines"], noun)
    _thresholds(axes[0, 1], facts, noun)
    _sizes(axes[0, 2], facts["sizes"], noun)
    found = facts["calibration"]
    _reliability(axes[1, 0], found["pixels"], "Do probabilities of pixels come true?", "pixels")
    fitted = facts["model"]["score_calibration"] is not None
    _reliability(
        axes[1, 1],
        found["objects"],
        f"Do scores of {noun}s come true?",
        f"{noun}s",
        before=found["objects_mean_probability"] if fitted else None,
    )
    _conditions(axes[1, 2], facts["conditions"], noun)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    return buffer.getvalue()


def _headlines(axes: Axes, headlines: Mapping[str, Any], noun: str) -> None:
    rows = [(name, one) for name, one in headlines.items() if one["value"] is not None]
    _style(axes, "Headlines; predicting nothing is │", grid="x")
    for place, (name, one) in enumerate(reversed(rows)):
        alarm = name == "empty_false_positive_rate"
        _dot(axes, one, place, _RED if alarm else _BLUE)
        if one["floor"] is not None:
            axes.plot(one["floor"], place, marker="|", markersize=15, color=_SOFT, mew=2)
    axes.set_yticks(range(len(rows)), [title(name, noun) for name, _ in reversed(rows)])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("IoU, F2, share; with interval", fontsize=8.5, color=_SOFT)


def _thresholds(axes: Axes, facts: Mapping[str, Any], noun: str) -> None:
    _style(axes, "What other thresholds would give", grid="y")
    curve = facts["object_curve"]
    x = [row["threshold"] for row in curve]
    for name, colour, dashes in (
        ("boat_iou", _BLUE, "-"),
        ("f2", _GREEN, "-"),
        ("per_image_iou", _PURPLE, "-"),
        ("empty_false_positive_rate", _RED, "--"),
    ):
        y = [_plottable(row[name]) for row in curve]
        axes.plot(x, y, dashes, color=colour, linewidth=1.8, label=title(name, noun))
    chosen, floor = facts["model"]["threshold"], facts["headlines"]["per_image_iou"]["floor"]
    axes.axvline(chosen, color=_INK, linewidth=1, linestyle=(0, (2, 2)))
    left = chosen > 0.6  # of the line, where there is room
    axes.annotate(
        f"in force: {chosen:.2f}",
        (chosen, 1.0),
        xytext=(-4 if left else 4, 0),
        textcoords="offset points",
        fontsize=8,
        color=_INK,
        va="top",
        ha="right" if left else "left",
        bbox=_PAPER,
    )
    if floor is not None:
        axes.axhline(floor, color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"predicting nothing: {floor:.2f} (F2 and IoU of all images)",
            (0.02, floor),
            xytext=(0, -4),
            textcoords="offset points",
            fontsize=8,
            color=_SOFT,
            ha="left",
            va="top",
            bbox=_PAPER,
        )
    axes.set_xlabel("threshold (probability)", fontsize=8.5, color=_SOFT)
    axes.set_ylabel("IoU, F2, share of images", fontsize=8.5, color=_SOFT)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.04)
    axes.legend(
        fontsize=8,
        frameon=False,
        labelcolor=_INK,
        ncols=2,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
    )


def _reliability(
    axes: Axes,
    found: Mapping[str, Any],
    heading: str,
    noun: str,
    *,
    before: Mapping[str, Any] | None = None,
) -> None:
    _style(axes, heading, grid="y")
    axes.plot([0, 1], [0, 1], color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    rows = [row for row in found["bins"] if row["count"]]
    width = 1 / len(found["bins"])
    axes.bar(
        [(row["from"] + row["below"]) / 2 for row in rows],
        [row["accuracy"] for row in rows],
        width=width * 0.92,
        color=_BLUE,
        alpha=0.35,
    )
    for row in rows:
        if row.get("low") is not None:
            place = [row["confidence"]] * 2
            axes.plot(place, [row["low"], row["high"]], color=_BLUE, linewidth=1.4)
    axes.plot(
        [row["confidence"] for row in rows],
        [row["accuracy"] for row in rows],
        "o",
        color=_BLUE,
        markersize=4.5,
        label="score" if before else None,
    )
    if before is not None:
        old = [row for row in before["bins"] if row["count"]]
        axes.plot(
            [row["confidence"] for row in old],
            [row["accuracy"] for row in old],
            "x",
            color=_RED,
            markersize=6,
            mew=1.8,
            label="mean probability of the pixels, before",
        )
        axes.legend(
            fontsize=8,
            frameon=False,
            labelcolor=_INK,
            ncols=2,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
        )
    axes.text(
        0.03,
        0.97,
        _errors(found, noun, before),
        transform=axes.transAxes,
        va="top",
        fontsize=8.5,
        bbox=_PAPER,
    )
    axes.set_xlabel("probability given", fontsize=8.5, color=_SOFT)
    axes.set_ylabel("share that is true", fontsize=8.5, color=_SOFT)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)


def _errors(found: Mapping[str, Any], noun: str, before: Mapping[str, Any] | None) -> str:
    text = [f"{sum(row['count'] for row in found['bins']):,} {noun}"]
    if found["ece"] is None:
        return text[0]
    text.append(f"ECE {found['ece']:.4f}")
    if found.get("ece_above_1_percent") is not None:
        text.append(f"ECE above 1 %: {found['ece_above_1_percent']:.4f}")
    if found.get("ece_by_chance") is not None:
        text.append(f"by chance alone: {found['ece_by_chance']:.4f}")
    if before is not None and before["ece"] is not None:
        text.append(f"before calibration: {before['ece']:.4f}")
    return "\n".join(text)


def _sizes(axes: Axes, sizes: Sequence[Mapping[str, Any]], noun: str) -> None:
    _style(axes, f"By size of the {noun}", grid="y")
    labels = []
    for place, row in enumerate(sizes):
        labels.append(f"{row['from']:,} +\n({row['objects']:,})")
        if row["recall"] is None:
            continue
        first = place == next(i for i, r in enumerate(sizes) if r["recall"] is not None)
        for offset, name, colour, label in (
            (-0.27, "touched", _PURPLE, "touched at all"),
            (0.0, "recall", _GREEN, "IoU over 0.5"),
            (0.27, "mean_iou", _BLUE, "mean IoU"),
        ):
            axes.bar(
                place + offset,
                row[name],
                width=0.25,
                color=colour,
                label=label if first else None,
            )
    axes.set_xticks(range(len(sizes)), labels, fontsize=8.5)
    axes.set_xlabel(f"area from, pixels (and how many {noun}s)", fontsize=8.5, color=_SOFT)
    axes.set_ylabel(f"share of {noun}s, IoU", fontsize=8.5, color=_SOFT)
    axes.set_xlim(-0.6, len(sizes) - 0.4)  # a bin of no object keeps its place
    axes.set_ylim(0, 1.18)
    if any(row["recall"] is not None for row in sizes):
        axes.legend(fontsize=8, frameon=False, labelcolor=_INK, ncols=3, loc="upper left")


def _conditions(axes: Axes, conditions: Sequence[Mapping[str, Any]], noun: str) -> None:
    _style(axes, f"{title('boat_iou', noun)}, by sea condition", grid="x")
    rows = [
        (f"{row['condition']}: {level['level']} ({level['images']:,})", one)
        for row in conditions
        for level in row["levels"]
        for one in [level["headlines"]["boat_iou"]]
        if one["value"] is not None
    ]
    for place, (_, one) in enumerate(reversed(rows)):
        _dot(axes, one, place, _BLUE)
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)], fontsize=8)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    axes.set_xlabel("IoU with interval (images in brackets)", fontsize=8.5, color=_SOFT)
    if not rows:
        axes.text(0.5, 0.5, "nothing was measured", transform=axes.transAxes, ha="center")


def _dot(axes: Axes, one: Mapping[str, Any], place: int, colour: str) -> None:
    if one["low"] is not None:
        axes.plot([one["low"], one["high"]], [place, place], color=colour, linewidth=2.4)
    axes.plot(one["value"], place, "o", color=colour, markersize=6)
    axes.annotate(
        f"{one['value']:.3f}",
        (one["value"], place),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=7.5,
        color=_INK,
    )


def _style(axes: Axes, heading: str, *, grid: Any) -> None:
    axes.set_title(heading, loc="left", fontsize=11, fontweight="bold", color=_INK)
    axes.grid(axis=grid, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(labelsize=8.5, colors=_SOFT, length=0)


def _plottable(value: float | None) -> float:
    return float("nan") if value is None else value

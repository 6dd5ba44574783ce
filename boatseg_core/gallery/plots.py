"""Curves of a training as small pictures.

matplotlib comes with mlflow and is imported inside the functions: definitions and the service load
without it. Only its object interface is used (no pyplot), so no state is shared between threads.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from boatseg_core.imaging.overlay import data_uri, markdown_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEPS = ("step", "epoch")
_NAMES = {
    "boat_iou": "boat images",
    "per_image_iou": "all images",
    "dataset_iou": "all pixels",
    "loss": "loss",
}
# Okabe and Ito's colours, told apart by every eye; dashes and markers say the same without colour.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_MARKERS = "osD^vP"
_INK, _SOFT, _GRID = "#17212b", "#566472", "#dfe5ea"


def training_curve(
    history: Sequence[Mapping[str, Any]],
    *,
    floor: float | None = None,
    class_name: str = "boat",
) -> bytes:
    """Draw losses and IoUs over the steps of a training.

    Args:
        history: One mapping a validation. ``step`` (or ``epoch``) is the abscissa; every number
            whose key holds ``loss`` goes left and every one whose key holds ``iou`` right; a
            prefix ``train_`` or ``valid_`` is told in the legend. Missing and non-finite values
            leave a gap.
        floor: Per-image IoU of a model that predicts nothing, drawn as a line; by default the
            last ``floor_per_image_iou`` of the history, if any.
        class_name: What one object is called.

    Returns:
        A PNG of about 30 kB, 840 x 300 pixels.

    Raises:
        ValueError: The history is empty.
    """
    if not history:
        raise ValueError("a training without a validation has no curve")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if floor is None:
        floors = [v for row in history if (v := _number(_find(row, "floor_per_image_iou")))]
        floor = floors[-1] if floors else None
    step = next((key for key in _STEPS if key in history[0]), None)
    x = [float(row[step]) if step else float(i) for i, row in enumerate(history, start=1)]
    keys = [k for k in dict.fromkeys(k for row in history for k in row) if "floor" not in k]
    losses = [key for key in keys if "loss" in key]
    ious = sorted((key for key in keys if "iou" in key), key=_rank)

    figure = Figure(figsize=(8.4, 3.0), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _plot(left, x, history, losses, "Loss", class_name)
    _plot(right, x, history, ious, "IoU", class_name)
    right.set_ylim(-0.02, 1.02)
    if floor is not None:
        right.axhline(floor, color=_SOFT, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
        right.annotate(
            f"predict nothing, all images: {floor:.2f}",
            (0.99, floor),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3 if floor < 0.9 else -10),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color=_SOFT,
        )
    for axes in (left, right):
        axes.set_xlabel(step or "validation", fontsize=8.5, color=_SOFT)
    if losses and min(_values(history, losses)) > 0:
        left.set_ylim(bottom=0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def training_curve_markdown(
    history: Sequence[Mapping[str, Any]],
    *,
    floor: float | None = None,
    class_name: str = "boat",
) -> str:
    """Draw :func:`training_curve` and embed it as Markdown; the arguments are the same."""
    png = training_curve(history, floor=floor, class_name=class_name)
    return markdown_image(data_uri(png, "image/png"), "Loss and IoU over the training")


def _plot(
    axes: Axes,
    x: Sequence[float],
    history: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    title: str,
    class_name: str,
) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=_INK)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(labelsize=8, colors=_SOFT, length=0)
    for position, key in enumerate(keys):
        y = [_number(row.get(key)) for row in history]
        axes.plot(
            x,
            [math.nan if value is None else value for value in y],
            color=_COLOURS[position % len(_COLOURS)],
            linestyle="--" if key.startswith("train_") else "-",
            marker=_MARKERS[position % len(_MARKERS)],
            markersize=4,
            linewidth=1.7,
            label=_title(key, class_name),
        )
    if keys:
        axes.legend(fontsize=7.5, frameon=False, labelcolor=_INK, ncols=1 if len(keys) < 4 else 2)
    else:
        axes.text(0.5, 0.5, "nothing was recorded", transform=axes.transAxes, ha="center")


def _title(key: str, class_name: str) -> str:
    prefix = next((p for p in ("train_", "valid_", "test_") if key.startswith(p)), "")
    bare = key.removeprefix(prefix)
    name = _NAMES.get(bare, bare.replace("_", " ")).replace("boat", class_name)
    return f"{name} ({prefix[:-1]})" if prefix else name


def _rank(key: str) -> tuple[bool, int]:
    order = ["boat_iou", "per_image_iou", "dataset_iou"]
    bare = key.removeprefix("train_").removeprefix("valid_")
    return key.startswith("train_"), order.index(bare) if bare in order else len(order)


def _find(row: Mapping[str, Any], key: str) -> Any:
    return row.get(key, row.get(f"valid_{key}"))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return float(value) if math.isfinite(value) else None


def _values(history: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[float]:
    return [v for row in history for k in keys if (v := _number(row.get(k))) is not None] or [0.0]

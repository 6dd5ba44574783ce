"""Write an evaluation for people and for programs: one HTML page, its figure, and JSON."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import InputError
from boatseg_core.imaging.overlay import (
    AGREEMENT,
    PREDICTION,
    TRUTH,
    contact_sheet,
    data_uri,
    jpeg_uri,
)
from boatseg_core.training.report_plots import figure, title

if TYPE_CHECKING:
    from boatseg_core.training.evaluate import Evaluation
    from boatseg_core.training.gather import Example

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#17212b, #e6edf3);
  --soft: light-dark(#566472, #9aa9b7); --paper: light-dark(#f4f6f8, #0e151c);
  --card: light-dark(#fff, #17212b); --line: light-dark(#d5dce3, #2b3946);
  --warn: light-dark(#fdf1d8, #33290f); }
body { margin: 0 auto; padding: 24px clamp(12px, 3vw, 36px); max-width: 1560px;
  background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 4px; } h2 { font-size: 1.15rem; margin: 28px 0 8px; }
p { margin: 4px 0; color: var(--soft); }
.warn { background: var(--warn); color: var(--ink); padding: 9px 14px; border-radius: 8px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; background: var(--card); font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 500; }
img { max-width: 100%; height: auto; border-radius: 8px; background: #fff; }
i { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin: 0 5px 0 12px; }
"""

_KINDS = {
    "worst": "Worst: the lowest IoU where there is something to find",
    "false alarms": "False alarms: the largest on images that show nothing",
    "best": "Best: the highest IoU",
}


@dataclass(frozen=True)
class Written:
    """Files of a report.

    Attributes:
        page: Self-contained HTML.
        figure: The page's figure as PNG.
        facts: The same numbers as JSON.
    """

    page: Path
    figure: Path
    facts: Path


def write_report(evaluation: Evaluation, folder: Path, *, heading: str) -> Written:
    """Write the page, the figure and the JSON of an evaluation; each file whole or not at all.

    Args:
        evaluation: What was found.
        folder: Created where missing; files of an earlier report are replaced.
        heading: Title of the page.

    Raises:
        InputError: The folder cannot be written to.
    """
    png = figure(evaluation.facts)
    files = Written(
        folder / "evaluation.html", folder / "evaluation.png", folder / "evaluation.json"
    )
    text = json.dumps(evaluation.facts, indent=1, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in (
            (files.page, render(evaluation, png, heading).encode()),
            (files.figure, png),
            (files.facts, text.encode()),
        ):
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            part.write_bytes(data)
            part.replace(path)
    except OSError as error:
        raise InputError(
            f"the report cannot be written to {folder}: {error.strerror}; name another folder "
            "with --output"
        ) from error
    return files


def render(evaluation: Evaluation, png: bytes, heading: str) -> str:
    """Make the page: no script, and nothing is fetched."""
    facts = evaluation.facts
    noun = facts["model"]["class_name"]
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(heading)}</title><style>{_STYLE}</style><body>",
        f"<h1>{html.escape(heading)}</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in summary(facts)),
        *(f"<p class='warn'>{html.escape(line)}</p>" for line in warnings(facts)),
        "<h2>Headlines</h2>",
        _table(
            ("", "value", "interval", "predicting nothing", "gain", "groups"),
            [headline_row(name, one, noun) for name, one in facts["headlines"].items()],
        ),
        f"<h2>Curves</h2><img alt='Headlines, thresholds, sizes, reliability, conditions' "
        f"src='{data_uri(png, 'image/png')}'>",
        "<h2>By sea condition</h2>",
        "<p>Proxies from stored measurements, cut at their terciles over these images.</p>",
        _table(*_conditions(facts["conditions"], noun)),
        *(_sheet(kind, evaluation.examples.get(kind, ())) for kind in _KINDS),
        "</body></html>",
    ]
    return "\n".join(parts)


def summary(facts: Mapping[str, Any]) -> list[str]:
    """Lines that say what was evaluated, and how."""
    model, data, method = facts["model"], facts["data"], facts["method"]
    noun = model["class_name"]
    return [
        f"{model['architecture']} on {model['encoder']}, threshold {model['threshold']:.2f}, "
        f"objects from {model['min_area']} px"
        + (f", necks cut below {model['split_neck']:.2f}" if model["split_neck"] else ""),
        f"{data['split']} split of gold version {data['gold_version']}: {data['images']:,} images "
        f"in {data['groups']:,} groups, {data['boat_images']:,} with {noun}s, "
        f"{data['objects']:,} {noun}s" + (" (a sample of the split)" if data["limited"] else ""),
        f"Intervals hold {method['confidence']:.0%}: {method['interval']}, "
        f"{method['draws']:,} draws.",
    ]


def warnings(facts: Mapping[str, Any]) -> list[str]:
    """What makes these numbers say less than they seem to."""
    data, said = facts["data"], []
    noun = facts["model"]["class_name"]
    if data["seen_in_training"]:
        said.append(
            f"The model was trained on {data['seen_in_training']:,} of these images: the numbers "
            "flatter it."
        )
    if not data["boat_images"]:
        said.append(f"No image of the split shows a {noun}: nothing is said about finding any.")
    if data["groups"] < 20:
        said.append(f"There are only {data['groups']} groups of images: the intervals are rough.")
    if data["merged_truth"]:
        said.append(
            f"In {data['merged_truth']:,} images {noun}s that touch count as one: their batches "
            "are from before gold kept run lengths."
        )
    return said


def headline_row(name: str, one: Mapping[str, Any], noun: str) -> tuple[str, ...]:
    """Cells of a headline: name, value, interval, floor, gain, groups."""
    return (
        title(name, noun),
        number(one["value"]),
        span(one),
        number(one["floor"]),
        "" if one["gain"] is None else f"{one['gain']['value']:+.3f} ({span(one['gain'])})",
        f"{one['groups']:,}",
    )


def number(value: float | None) -> str:
    """Write a number, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def span(one: Mapping[str, Any]) -> str:
    """Write an interval, or a dash."""
    return "–" if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"


def _conditions(
    conditions: Sequence[Mapping[str, Any]], noun: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    names = ("boat_iou", "f2", "per_image_iou", "empty_false_positive_rate")
    header = ["", "images"]
    for name in names:
        header += [title(name, noun), "interval"]
    header.append("predicting nothing (F2 and IoU of all images)")
    rows = []
    for condition in conditions:
        edges = ", ".join(f"{edge:.3g}" for edge in condition["edges"])
        for level in condition["levels"]:
            where = f"{condition['condition']}: {level['level']}"
            where += f" (cut at {edges})" if edges else ""
            cells = [where, f"{level['images']:,}"]
            for name in names:
                one = level["headlines"][name]
                cells += [number(one["value"]), span(one)]
            rows.append((*cells, number(level["headlines"]["per_image_iou"]["floor"])))
    return tuple(header), rows


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _sheet(kind: str, examples: Sequence[Example]) -> str:
    """A contact sheet of one kind of examples, with its legend."""
    heading = f"<h2>{html.escape(_KINDS[kind])}</h2>"
    if not examples:
        return f"{heading}<p>None.</p>"
    sheet = contact_sheet(
        [example.picture for example in examples],
        columns=4,
        captions=[f"{one.caption} | {one.image_id}" for one in examples],
    )
    legend = "".join(
        f"<i style='background:rgb{colour}'></i>{name}"
        for name, colour in (("found", AGREEMENT), ("missed", TRUTH), ("false", PREDICTION))
    )
    alt = html.escape("; ".join(f"{one.image_id}: {one.caption}" for one in examples), quote=True)
    uri = jpeg_uri(sheet, max_bytes=600_000)
    return f'{heading}<p>{legend}</p><img alt="{alt}" src="{uri}">'

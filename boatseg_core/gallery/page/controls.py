"""What surrounds the pictures: the switch between masks, the legend, figures, and a note."""

from __future__ import annotations

from collections.abc import Mapping

from boatseg_core.gallery.card import escape, label, say
from boatseg_core.gallery.page.body import Body

__all__ = ["figures_list", "legend_list", "mask_modes", "mode_inputs", "note_line"]


def mask_modes(body: Body) -> dict[str, str]:
    """The masks that can be switched to, by mode, and what each is called."""
    modes = {"none": "Picture"}
    if body.truth:
        modes["truth"] = "Truth"
    if body.prediction:
        modes["prediction"] = "Prediction"
    if body.truth and body.prediction:
        modes["compare"] = "Compare"
    return modes


def mode_inputs(modes: Mapping[str, str]) -> str:
    """Write the switch between the masks."""
    return "\n".join(
        f'<label><input type="radio" name="mode" value="{mode}" data-label="{name}">'
        f"<span>{name}</span></label>"
        for mode, name in modes.items()
    )


def legend_list(modes: Mapping[str, str], class_name: str, *, unlabelled: bool) -> str:
    """Write what the colours mean; only those the page shows."""
    name = escape(class_name)
    # Where nobody labelled, a prediction is neither right nor wrong.
    alone = "false alarm, or not labelled" if unlabelled else "false alarm"
    entries = {
        "agreement": f"{name}, found",
        "truth": f'<span class="both">{name}, missed</span>'
        f'<span class="solo">{name}, labelled</span>',
        "prediction": f'<span class="both">{alone}</span>'
        f'<span class="solo">{name}, predicted</span>',
    }
    wanted = [k for k in entries if k in modes or (k == "agreement" and "compare" in modes)]
    items = "".join(f'<li class="{k}"><i></i><span>{entries[k]}</span></li>' for k in wanted)
    return f'<ul class="legend" aria-label="Colours">{items}</ul>'


def figures_list(figures: Mapping[str, object]) -> str:
    """Write the figures above the pictures."""
    if not figures:
        return ""
    cells = "".join(
        f"<div><dt>{escape(label(name))}</dt><dd>{escape(say(value))}</dd></div>"
        for name, value in figures.items()
    )
    return f'<dl class="summary">{cells}</dl>'


def note_line(body: Body, max_bytes: int) -> str:
    """Write what is missing: pictures left out, or all of them."""
    if body.left_out:
        text = (
            f"{body.left_out:,} of {body.left_out + len(body.items):,} pictures were left out to "
            f"keep this page under {max_bytes / 1e6:g} MB. Ask for fewer to see them all."
        )
    elif not body.items:
        text = (
            "There are no pictures to show: no row was selected. Loosen the WHERE of the query, or "
            "see with <code>boatseg tables</code> which tables have rows."
        )
    else:
        return ""
    return f'<p class="note" role="note">{text}</p>'

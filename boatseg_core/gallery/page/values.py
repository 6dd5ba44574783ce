"""The cards' fields as data for the page's script, which sorts and filters by them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from boatseg_core.gallery.card import label, say

__all__ = ["sorting_data"]

_CHOICES = 12  # more different texts are searched, not chosen from


def sorting_data(rows: Sequence[Mapping[str, object]]) -> str:
    """Write fields as JSON that is safe inside a script element.

    Args:
        rows: Fields per card, by name.

    Returns:
        ``{"columns": [...], "rows": [[...]]}``, a value per column in each row.
    """
    columns = _columns(rows)
    data = {
        "columns": columns,
        "rows": [[_datum(row.get(c["key"])) for c in columns] for row in rows],
    }
    return _json(data)


def _columns(rows: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    """Describe the fields for sorting and filtering: numbers, a few choices, or free text."""
    columns = []
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [v for row in rows if (v := _datum(row.get(key))) is not None]
        column: dict[str, Any] = {"key": key, "label": label(key), "kind": "text"}
        distinct = sorted({str(value) for value in values})
        if values and all(isinstance(value, int | float) for value in values):
            column |= {"kind": "number", "low": min(values), "high": max(values)}
        elif len(distinct) <= _CHOICES and len(distinct) < len(rows):
            column |= {"kind": "choice", "choices": distinct}
        columns.append(column)
    return columns


def _datum(value: object) -> int | float | str | None:
    match value:
        case None:
            return None
        case bool() | np.bool_():
            return say(value)
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            return round(float(value), 6) if math.isfinite(value) else None
        case _:
            return say(value)


def _json(data: object) -> str:
    # Inside <script>, only "<" could end the element; the rest is for readers with other rules.
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

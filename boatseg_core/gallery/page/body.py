"""The list of pictures, and what the rest of the page has to know about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from boatseg_core.gallery.card import Card, card_html, say

__all__ = ["SIZES", "Body", "draw_body", "fitting_size"]

SIZES = (768, 512, 384, 288, 224)
"""Longer sides of the embedded pictures, in pixels; the largest with which all fit is taken."""


@dataclass
class Body:
    """What the cards leave behind once their pixels are drawn.

    Attributes:
        items: A list item of HTML per card.
        rows: Their fields, in the same order.
        left_out: Cards there was no room for.
        truth: Whether any card has a labelled mask.
        prediction: Whether any card has a predicted mask.
        unlabelled: Whether any card was predicted on but never labelled.
    """

    items: list[str] = field(default_factory=list)
    rows: list[Mapping[str, object]] = field(default_factory=list)
    left_out: int = 0
    truth: bool = False
    prediction: bool = False
    unlabelled: bool = False


def draw_body(cards: Iterable[Card], count: int | None, size: int, room: int) -> Body:
    """Draw cards one at a time until there are no more, or no more room in bytes."""
    body = Body()
    used = 0
    for card in cards:
        unlabelled = card.truth is None and card.prediction is not None
        item = card_html(card, size=size, badge="not labelled" if unlabelled else "")
        # The values are there a second time for sorting; JSON writes other scripts as \uXXXX.
        used += len(item.encode()) + sum(6 * len(say(value)) + 4 for value in card.fields.values())
        if used > room:
            break
        body.items.append(item)
        body.rows.append(card.fields)
        body.truth |= card.truth is not None
        body.unlabelled |= unlabelled
        body.prediction |= card.prediction is not None
    else:
        return body
    rest = sum(1 for _ in cards) + 1 if count is None else count - len(body.items)
    body.left_out = max(1, rest)
    return body


def fitting_size(probes: Sequence[Card], count: int, room: int) -> int:
    """The largest of the sizes with which, judged by a few, all cards fit."""
    for size in SIZES:
        each = sum(len(card_html(card, size=size)) for card in probes) / max(1, len(probes))
        # Pictures differ: 1.15 for a first few that are plainer than the rest.
        if each * count * 1.15 <= room:
            return size
    return SIZES[-1]

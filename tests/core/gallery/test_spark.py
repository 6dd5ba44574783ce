"""Small charts: valid SVG, a size that fits an event log, and the right shapes."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from boatseg_core.gallery import spark

SVG = "{http://www.w3.org/2000/svg}"


def parsed(markdown: str) -> ElementTree.Element:
    found = re.fullmatch(r"!\[(.*)\]\(data:image/svg\+xml;base64,([^)]+)\)", markdown)
    assert found is not None
    assert len(markdown) < 8_000
    return ElementTree.fromstring(base64.b64decode(found[2]))


def texts(svg: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in svg.iter(f"{SVG}text")]


def top(svg: ElementTree.Element, shape: int) -> float:
    """x where a distribution is highest."""
    points = list(svg.iter(f"{SVG}polygon"))[shape].get("points", "").split()
    pairs = [tuple(map(float, point.split(","))) for point in points]
    return min(pairs, key=lambda pair: pair[1])[0]


def test_a_distribution_lies_where_its_values_are() -> None:
    rng = np.random.default_rng(0)
    svg = parsed(
        spark.distributions(
            rng.normal(200, 5, 500), rng.normal(60, 5, 500), title="brightness", low=0, high=255
        )
    )

    before, now = top(svg, 0), top(svg, 1)
    assert before == pytest.approx(10 + 400 * 60 / 255, abs=20)
    assert now == pytest.approx(10 + 400 * 200 / 255, abs=20)
    assert {"brightness", "0", "255", "batch", "before"} <= set(texts(svg))


@pytest.mark.parametrize("values", [[], [300.0, -5.0], [7.0]])
def test_a_distribution_of_little(values: list[float]) -> None:
    parsed(spark.distributions(values, [], title="x", low=0, high=255))


def test_bars_are_as_long_as_the_shares() -> None:
    svg = parsed(spark.shares({"JPEG RGB": (0.25, 0.75), "<b>&": (0.75, 0.25)}, title="formats"))

    bars = [r for r in svg.iter(f"{SVG}rect") if r.get("height") in ("13", "7")]
    widths = [float(bar.get("width", "0")) for bar in bars]
    assert widths[0] / widths[1] == pytest.approx(3, rel=0.01)  # before, now
    assert widths[2] / widths[3] == pytest.approx(1 / 3, rel=0.01)
    assert {"JPEG RGB", "<b>&", "25%", "75%"} <= set(texts(svg))  # escaped, and so still text


def test_many_kinds_with_long_names_stay_small() -> None:
    kinds = {f"kind {i} {'x' * 200}": (0.01, 0.01) for i in range(500)}

    assert len(list(parsed(spark.shares(kinds, title="t")).iter(f"{SVG}rect"))) < 40


def test_the_last_batch_stands_out_when_over_the_limit() -> None:
    svg = parsed(spark.history([0.0, 0.05, 0.6], title="rejected", limits=[0.1, 0.5]))

    colours = [r.get("fill") for r in svg.iter(f"{SVG}rect")][1:]
    assert colours[-1] == "#d55e00" and len(set(colours[:-1])) == 1
    assert {"60.0%", "10%", "50%", "3 batches, oldest first"} <= set(texts(svg))
    calm = parsed(spark.history([0.0, 0.05], title="rejected", limits=[0.1]))
    assert [r.get("fill") for r in calm.iter(f"{SVG}rect")][-1] == "#0072b2"

"""Verdicts: every criterion, every reason, and a name for the criteria that moves with them."""

from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError
from support.batches import changed

from boatseg_core.config import Settings
from boatseg_core.config.sections import Quality
from boatseg_core.ingest.quality import criteria_hash, judge

GOOD = {
    "image_id": "a.jpg",
    "batch_id": "b1",
    "width": 768,
    "height": 768,
    "format": "JPEG",
    "mode": "RGB",
    "brightness": 90.0,
    "contrast": 20.0,
    "sharpness": 100.0,
    "saturation": 0.2,
    "black_share": 0.0,
    "white_share": 0.0,
}


def reasons(quality: Quality | None = None, **values: object) -> list[str]:
    verdicts = judge(pl.DataFrame([GOOD | values]), quality or Quality())
    found = verdicts["reasons"][0].to_list()
    assert verdicts["passed"][0] == (not found)
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"width": 127}, ["too_narrow"]),
        ({"width": 128}, []),
        ({"height": 127}, ["too_low"]),
        ({"width": 20_001}, ["too_wide"]),
        ({"height": 20_001}, ["too_high"]),
        ({"width": 20_000, "height": 20_000}, []),
        ({"format": "GIF"}, ["format"]),
        ({"mode": "F"}, ["mode"]),
        ({"brightness": 1.9}, ["too_dark"]),
        ({"brightness": 250.1}, ["too_bright"]),
        ({"contrast": 0.4}, ["too_flat"]),
        ({"black_share": 0.91}, ["blank"]),
        ({"black_share": 0.5, "white_share": 0.45}, ["blank"]),
        ({"black_share": 0.45, "white_share": 0.45}, []),
        (
            {"width": 20_001, "height": 20_001, "mode": "F", "brightness": 0.0},
            ["too_wide", "too_high", "too_many_pixels", "mode", "too_dark"],
        ),
    ],
)
def test_an_image_fails_for_all_its_reasons(values: dict[str, object], expected: list[str]) -> None:
    assert reasons(**values) == expected


@pytest.mark.parametrize(
    ("criterion", "value", "expected"),
    [
        ("max_pixels", 768 * 768, []),
        ("max_pixels", 768 * 768 - 1, ["too_many_pixels"]),
        ("max_contrast", 19.9, ["too_harsh"]),
        ("max_contrast", 20.0, []),
        ("min_sharpness", 100.5, ["blurred"]),
        ("formats", ("PNG",), ["format"]),
        ("modes", ("L", "P"), ["mode"]),
        ("max_width", 767, ["too_wide"]),
        ("min_contrast", 20.5, ["too_flat"]),
    ],
)
def test_every_criterion_can_be_set(criterion: str, value: object, expected: list[str]) -> None:
    assert reasons(Quality.model_validate({criterion: value})) == expected


def test_a_picture_too_large_for_32_bits_of_pixels() -> None:
    quality = Quality(max_width=100_000, max_height=100_000)

    assert reasons(quality, width=65_536, height=65_536) == ["too_many_pixels"]


def test_a_sharpness_nobody_measured_does_not_pass_a_floor() -> None:
    unknown = pl.DataFrame([GOOD]).with_columns(sharpness=pl.lit(None, pl.Float32))

    assert judge(unknown, Quality())["reasons"].to_list() == [[]]
    assert judge(unknown, Quality(min_sharpness=5))["reasons"].to_list() == [["sharpness_unknown"]]


def test_a_duplicate_fails_beside_its_other_reasons() -> None:
    measured = pl.DataFrame([GOOD, GOOD | {"image_id": "b.jpg", "brightness": 0.0}])
    found = pl.DataFrame([{"image_id": "b.jpg", "batch_id": "b1", "duplicate_of": "a.jpg"}])

    verdicts = judge(measured, Quality(), found)

    assert verdicts["image_id"].to_list() == ["a.jpg", "b.jpg"]
    assert verdicts["duplicate_of"].to_list() == [None, "a.jpg"]
    assert verdicts["reasons"].to_list() == [[], ["too_dark", "duplicate"]]


@pytest.mark.parametrize("name", sorted(Quality.model_fields))
def test_the_hash_moves_with_every_criterion_and_with_nothing_else(
    name: str, settings: Settings
) -> None:
    value = getattr(settings.quality, name)
    other = value[:-1] if isinstance(value, tuple) else value * 0.5 + 0.125
    if isinstance(value, int):
        other = value + 1
    before = criteria_hash(settings.quality)

    after = criteria_hash(changed(settings, "quality", **{name: other}).quality)

    of_the_batch = name in {"min_pass_rate", "broken_pass_rate", "max_duplicate_share"}
    assert (after == before) == of_the_batch


def test_the_order_of_formats_means_nothing() -> None:
    assert criteria_hash(Quality(formats=("PNG", "JPEG"))) == criteria_hash(
        Quality(formats=("JPEG", "PNG", "PNG"))
    )


@pytest.mark.parametrize("side", ["width", "height", "brightness", "contrast"])
def test_a_range_that_nothing_can_pass_is_refused(side: str) -> None:
    with pytest.raises(ValidationError, match=f"min_{side} must not be above max_{side}"):
        Quality.model_validate({f"min_{side}": 100, f"max_{side}": 99})

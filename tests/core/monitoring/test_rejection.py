"""What became of a batch's files, and what a batch is compared with, read from real tables."""

from __future__ import annotations

import polars as pl
import pytest
from support.batches import build
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings
from boatseg_core.config.sections import History
from boatseg_core.ingest.completeness import completeness
from boatseg_core.lake import TABLES, Lake
from boatseg_core.monitoring.history import arrivals, mix_shifts, value_shifts
from boatseg_core.monitoring.rejection import rejections


@pytest.fixture
def batches(lake: Lake, settings: Settings) -> list[str]:
    """Good images; then good, bad, tiny and doubled ones; then nothing but bad files."""
    made = []
    for i in range(4):
        drop(settings.images_folder, f"a{i}.jpg", encoded(texture(i)))
    made += build(lake, settings)
    for name, data in {
        "b1.jpg": encoded(texture(10)),
        "b2.jpg": encoded(texture(0)),  # as a0.jpg
        "b3.jpg": encoded(texture(11, 40, 40)),
        "b4.jpg": b"no picture",
        "b5.jpg": b"",
    }.items():
        drop(settings.images_folder, name, data)
    made += build(lake, settings)
    drop(settings.images_folder, "c.jpg", b"no picture either")
    return [*made, *build(lake, settings)]


def test_rejections_are_counted_by_batch(lake: Lake, batches: list[str]) -> None:
    first, second, third = rejections(lake, batches[2], back=5)

    assert [r.batch_id for r in (first, second, third)] == batches
    assert (first.share, first.files, first.duplicates) == (0.0, 4, 0)
    assert second.quarantined == {"not_an_image": 1, "empty": 1}
    assert second.unmet == {"too_narrow": 1, "too_low": 1}
    assert (second.failed, second.duplicates, second.images, second.files) == (1, 1, 3, 5)
    assert second.share == pytest.approx(3 / 5)  # the duplicate is no bad picture
    assert second.duplicate_share == pytest.approx(1 / 3)
    assert (third.share, third.images, third.files) == (1.0, 0, 1)


def test_looking_back_is_bounded(lake: Lake, batches: list[str]) -> None:
    assert [r.batch_id for r in rejections(lake, batches[2])] == batches[2:]
    assert [r.batch_id for r in rejections(lake, batches[2], back=1)] == batches[1:]
    assert [r.batch_id for r in rejections(lake, batches[0], back=3)] == batches[:1]


def test_a_batch_is_compared_with_those_before_it(lake: Lake, batches: list[str]) -> None:
    found = arrivals(lake, batches[1], History())

    assert found.batches == 1
    assert (found.batch.height, found.earlier.height) == (3, 4)
    assert set(found.earlier["batch_id"]) == {batches[0]}
    assert sorted(found.batch["kind/size"]) == ["256x256", "256x256", "about 45x45"]
    assert set(found.batch["kind/format"]) == {"JPEG RGB"}
    assert arrivals(lake, batches[0], History()).earlier.is_empty()
    empty = arrivals(lake, batches[2], History())
    for shift in [*mix_shifts(empty, History()), *value_shifts(empty, History())]:
        assert not shift.judged and not shift.shifted


def test_only_as_many_batches_as_wanted(lake: Lake, settings: Settings) -> None:
    made = []
    for i in range(4):
        drop(settings.images_folder, f"{i}.jpg", encoded(texture(i)))
        made += build(lake, settings)

    found = arrivals(lake, made[3], History(batches=2))

    assert sorted(set(found.earlier["batch_id"])) == made[1:3]


def test_only_images_measured_the_same_way_are_compared(lake: Lake, batches: list[str]) -> None:
    names = TABLES["raw_images"].schema.names
    rows = lake.read("raw_images", names, batch_id=batches[0])
    half = pl.when(pl.int_range(pl.len()) < 2).then(pl.lit("entropy")).otherwise(pl.lit(None))
    lake.replace_batch("raw_images", batches[0], rows.with_columns(measured=half))

    found = arrivals(lake, batches[1], History())

    # Null stands for full: rows older than the column.
    assert (found.batch.height, found.earlier.height) == (3, 2)


def test_completeness_of_a_sound_batch(lake: Lake, batches: list[str]) -> None:
    found = completeness(lake, batches[1])

    assert (found.sealed, found.images, found.refused, found.problems) == (5, 3, 2, [])


def test_completeness_names_what_is_wrong(lake: Lake, batches: list[str]) -> None:
    names = TABLES["raw_images"].schema.names
    first = lake.read("raw_images", names, batch_id=batches[0]).sort("path")
    refused = lake.read("quarantine", TABLES["quarantine"].schema.names, batch_id=batches[1])
    mine = refused.head(1).with_columns(batch_id=pl.lit(batches[0]), path=pl.lit("a1.jpg"))
    stray = first[3].with_columns(path=pl.lit("stray.jpg"))
    lake.replace_batch("raw_images", batches[0], pl.concat([first[0:2], stray]))
    lake.replace_batch("quarantine", batches[0], mine)

    found = completeness(lake, batches[0])

    assert found.missing == ["a2.jpg", "a3.jpg"]
    assert found.repeated == ["a1.jpg"]  # an image and a refusal at once
    assert found.unknown == ["stray.jpg"]
    assert len(found.problems) == 4

"""Criteria change after the fact: judged from what was measured, and no picture is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.batches import build, changed, label
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings
from boatseg_core.dataset.differences import GOLD
from boatseg_core.dataset.gold import build_gold
from boatseg_core.dataset.requalify import choose_batches, requalify
from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.errors import InputError
from boatseg_core.ingest.quality import judge_batch, outdated_verdicts
from boatseg_core.lake import TABLES, Lake


def bytes_read() -> int:
    """Bytes this process has read so far, whoever read them and with whatever library."""
    facts = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in facts if line.startswith("rchar")).split()[1])


def flat(seed: int) -> np.ndarray:
    return (texture(seed).astype(np.int16) // 16 + 100).astype(np.uint8)


@pytest.fixture
def batches(lake: Lake, settings: Settings) -> list[str]:
    """Three batches: two of textured images, and one in which every second is nearly flat."""
    made = []
    for number in range(3):
        names = [f"{number}-{i}.jpg" for i in range(4)]
        for i, name in enumerate(names):
            seed = 10 * number + i
            drop(
                settings.images_folder,
                name,
                encoded(flat(seed) if number == 1 and i % 2 else texture(seed)),
            )
        label(settings, *names, file=f"{number}.csv")
        made += build(lake, settings)
    return made


def strict(settings: Settings) -> Settings:
    return changed(settings, "quality", min_contrast=20.0)


def test_only_the_gold_of_changed_verdicts_is_joined_again(
    lake: Lake, settings: Settings, batches: list[str]
) -> None:
    assert choose_batches(lake, settings) == []
    assert lake.counts("gold_dataset") == dict.fromkeys(batches, 4)
    assert choose_batches(lake, strict(settings)) == batches
    files = set(lake.table("gold_dataset").file_uris())

    done = requalify(lake, strict(settings), batches)

    assert done.gold == {batches[1]: (4, 2)}
    assert [(e.passed_before, e.passed, e.flipped) for e in done.batches] == [
        (4, 4, 0),
        (4, 2, 2),
        (4, 4, 0),
    ]
    changes = done.batches[1].changes
    assert changes["image_id"].to_list() == ["1-1.jpg", "1-3.jpg"]
    assert changes["reasons"].to_list() == [["too_flat"]] * 2
    assert lake.counts("gold_dataset") == {batches[0]: 4, batches[1]: 2, batches[2]: 4}
    assert len(files & set(lake.table("gold_dataset").file_uris())) == 2  # two left as they were
    assert outdated_verdicts(lake, strict(settings)) == []

    back = requalify(lake, settings, choose_batches(lake, settings))
    assert back.gold == {batches[1]: (2, 4)}


def test_a_reason_may_change_and_the_verdict_not(
    lake: Lake, settings: Settings, batches: list[str]
) -> None:
    requalify(lake, strict(settings), batches)
    both = changed(strict(settings), "quality", min_brightness=200.0)
    dark = changed(settings, "quality", min_brightness=200.0)
    requalify(lake, both, batches)

    done = requalify(lake, dark, [batches[1]])

    assert done.gold == {}
    assert done.batches[0].flipped == 0
    assert done.batches[0].changes["reasons_before"].to_list() == [["too_dark", "too_flat"]] * 2


def test_comparing_writes_nothing(lake: Lake, settings: Settings, batches: list[str]) -> None:
    before = {name: lake.version(name) for name in ("image_quality", "gold_dataset")}

    (found,) = requalify(lake, strict(settings), [batches[1]], dry_run=True).batches

    assert (found.passed_before, found.passed) == (4, 2)
    assert {name: lake.version(name) for name in before} == before


def test_gold_left_behind_by_a_crash_is_joined_by_the_next(
    lake: Lake, settings: Settings, batches: list[str]
) -> None:
    """Killed after judging and before joining: the verdicts are up to date, gold is not."""
    judge_batch(lake, batches[1], strict(settings))

    done = requalify(lake, strict(settings), [batches[1]])

    assert done.batches[0].flipped == 0
    assert done.gold == {batches[1]: (4, 2)}


def test_a_mask_of_another_size_leaves_nothing_outstanding(
    lake: Lake, settings: Settings, batches: list[str]
) -> None:
    batch = batches[0]
    masks = lake.read("rasterized_masks", TABLES["rasterized_masks"].schema.names, batch_id=batch)
    wider = pl.when(pl.col("image_id") == "0-1.jpg").then(pl.col("width") + 1)
    odd = masks.with_columns(width=wider.otherwise(pl.col("width")).cast(masks["width"].dtype))
    lake.replace_batch("rasterized_masks", batch, odd)
    assert outdated_batches(lake, settings) == {batch: GOLD}

    assert build_gold(lake, batch).left_out == {"mask_of_other_size": 1}

    assert outdated_batches(lake, settings) == {}
    version = lake.version("gold_dataset")
    assert requalify(lake, settings, batches).gold == {}
    assert lake.version("gold_dataset") == version


def test_an_unknown_batch_is_named(lake: Lake, settings: Settings, batches: list[str]) -> None:
    with pytest.raises(InputError, match="batch 20000101-000001 is not in raw_images"):
        choose_batches(lake, settings, batches=["20000101-000001"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes as Linux does")
def test_no_picture_is_read(lake: Lake, settings: Settings) -> None:
    """The bytes the process reads are a small part of the pictures', and the files are gone."""
    rng = np.random.default_rng(0)
    for i in range(12):
        noise = rng.integers(0, 255, (700, 700, 3), dtype=np.uint8)
        drop(settings.images_folder, f"{i}.png", encoded(noise, "PNG"))
    (batch,) = build(lake, settings)
    pictures = int(lake.read("raw_images", ["size_bytes"])["size_bytes"].sum())
    assert pictures > 15_000_000
    shutil.rmtree(settings.images_folder)
    lax = changed(settings, "quality", max_brightness=100.0)
    requalify(
        lake, lax, [batch], dry_run=True
    )  # imports, and what is read once in the life of a process
    before = bytes_read()

    done = requalify(lake, lax, [batch])

    used = bytes_read() - before
    assert done.batches[0].passed == 0 < done.batches[0].flipped
    assert 0 < used < 0.1 * pictures
    # The measure can fail: reading the pictures does show in it.
    before = bytes_read()
    assert lake.read("raw_images", ["image"])["image"].bin.size().sum() == pictures
    assert bytes_read() - before >= pictures


def test_every_batch_can_be_judged_again(
    lake: Lake, settings: Settings, batches: list[str]
) -> None:
    rows = lake.read("image_quality", batch_id=batches[2])
    lake.replace_batch(
        "image_quality", batches[2], rows.with_columns(pl.lit(False).alias("passed"))
    )
    assert choose_batches(lake, settings) == []  # its criteria are those in force

    done = requalify(lake, settings, choose_batches(lake, settings, every=True))

    assert [e.passed_before for e in done.batches] == [4, 4, 0]
    assert lake.read("image_quality")["passed"].all()

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings, load_settings
from boatseg_core.config.sections import Split
from boatseg_core.dataset import groups as groups_module
from boatseg_core.dataset.audit import overlapping_splits
from boatseg_core.dataset.groups import EXCLUDED, group_batch, split_of
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake

PLACE = texture(99, 512, 1536)
"""A scene of 2 x 6 tiles, wide enough for windows that do not overlap."""


def window(tile: int, quality: int = 85) -> bytes:
    left = tile * 256
    return encoded(PLACE[:, left : left + 512], quality=quality)


def ingest(lake: Lake, settings: Settings, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        drop(settings.images_folder, name, data)
    (batch,) = seal(lake, settings).batches
    ingest_batch(lake, batch, settings)
    return batch


def groups(lake: Lake) -> dict[str, str]:
    return dict(lake.read("image_groups", ["image_id", "group_id"]).iter_rows())


def test_overlapping_windows_share_a_group_whatever_their_compression(
    lake: Lake, settings: Settings
) -> None:
    files = {"a.jpg": window(0, 95), "b.jpg": window(1, 75), "c.jpg": window(2, 85)}
    other = {f"o{i}.jpg": encoded(texture(i, 512, 512)) for i in range(20)}
    batch = ingest(lake, settings, files | other)

    group_batch(lake, batch, settings)

    found = groups(lake)
    assert found["a.jpg"] == found["b.jpg"] == found["c.jpg"]  # a and c only through b
    assert len(set(found.values())) == 21
    splits = lake.read("image_groups").group_by("group_id").agg(pl.col("split").n_unique())
    assert splits["split"].max() == 1


def test_a_window_that_arrives_later_joins_its_group(lake: Lake, settings: Settings) -> None:
    first = ingest(lake, settings, {"a.jpg": window(0)})
    group_batch(lake, first, settings)
    second = ingest(lake, settings, {"b.jpg": window(1), "z.jpg": encoded(texture(5, 512, 512))})

    group_batch(lake, second, settings)

    found = groups(lake)
    assert found["b.jpg"] == found["a.jpg"] != found["z.jpg"]


def test_an_image_that_bridges_two_splits_is_excluded_and_nothing_moves(
    lake: Lake, settings: Settings
) -> None:
    names = split_names(Split())
    first = ingest(lake, settings, {names["train"]: window(0), names["test"]: window(2)})
    group_batch(lake, first, settings)
    before = lake.read("image_groups").sort("image_id")
    assert set(before["split"]) == {"train", "test"}
    second = ingest(lake, settings, {"bridge.jpg": window(1)})

    summary = group_batch(lake, second, settings)

    after = lake.read("image_groups").sort("image_id")
    assert summary.excluded == 1
    assert after.filter(pl.col("image_id") == "bridge.jpg")["split"].item() == EXCLUDED
    assert after.filter(pl.col("batch_id") == first).equals(before)


def split_names(split: Split) -> dict[str, str]:
    """A name for each split, by the hash that decides it."""
    found: dict[str, str] = {}
    for i in range(200):
        found.setdefault(split_of(f"{i}.jpg", split), f"{i}.jpg")
    return found


def test_equal_bytes_share_a_group_even_without_texture(lake: Lake, settings: Settings) -> None:
    flat = encoded(np.full((512, 512, 3), 90, np.uint8))
    batch = ingest(lake, settings, {"a.jpg": flat, "copy.jpg": flat, "o.jpg": encoded(texture(1))})

    group_batch(lake, batch, settings)

    found = groups(lake)
    assert found["a.jpg"] == found["copy.jpg"] != found["o.jpg"]


def test_grouping_again_changes_nothing(lake: Lake, settings: Settings) -> None:
    batch = ingest(lake, settings, {"a.jpg": window(0), "b.jpg": window(1)})
    group_batch(lake, batch, settings)
    before = lake.read("image_groups").sort("image_id")

    group_batch(lake, batch, settings)

    assert lake.read("image_groups").sort("image_id").equals(before)


def test_splits_are_stable_and_have_the_shares_asked_for() -> None:
    split = Split(valid_share=0.2, test_share=0.1)
    names = [split_of(f"group-{i}", split) for i in range(100_000)]

    assert names == [split_of(f"group-{i}", split) for i in range(100_000)]
    assert names.count("valid") / len(names) == pytest.approx(0.2, abs=0.01)
    assert names.count("test") / len(names) == pytest.approx(0.1, abs=0.01)


def test_the_split_of_a_name_never_changes() -> None:
    """Pinned: a change here would move images between training and test in every lake."""
    names = {name: split_of(name, Split()) for name in ("00003e153.jpg", "a", "b", "c", "é/x.png")}

    assert names == PINNED


PINNED = {"00003e153.jpg": "train", "a": "train", "b": "valid", "c": "train", "é/x.png": "test"}


def test_grouping_a_batch_again_moves_nothing_that_a_later_bridge_would_join(
    lake: Lake, settings: Settings
) -> None:
    names = split_names(Split())
    first = ingest(lake, settings, {names["train"]: window(0), names["test"]: window(2)})
    group_batch(lake, first, settings)
    second = ingest(lake, settings, {"bridge.jpg": window(1)})
    group_batch(lake, second, settings)
    before = lake.read("image_groups").sort("image_id")

    group_batch(lake, first, settings)
    group_batch(lake, second, settings)

    assert lake.read("image_groups").sort("image_id").equals(before)


def test_a_batch_grouped_in_between_is_seen(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ingest(lake, settings, {"a.jpg": window(0)})
    second = ingest(lake, settings, {"b.jpg": window(1)})
    real, interrupted = Lake.replace_batch_after, []

    def slow(self: Lake, name: str, batch: str, data: pl.DataFrame, version: int) -> int | None:
        if not interrupted:
            interrupted.append(batch)
            group_batch(lake, first, settings)  # the other process is faster
        return real(self, name, batch, data, version)

    monkeypatch.setattr(Lake, "replace_batch_after", slow)
    group_batch(lake, second, settings)

    found = groups(lake)
    assert interrupted == [second]
    assert found["a.jpg"] == found["b.jpg"]


def test_batches_one_by_one_give_the_groups_of_all_at_once(tmp_path: Path) -> None:
    """Except where an image bridges what came before, which only the order can decide."""
    scenes = [texture(seed, 512, 1024) for seed in range(6)]
    files = {
        f"{scene}-{tile}.jpg": encoded(
            image[:, tile * 256 : tile * 256 + 512], quality=75 + 5 * tile
        )
        for scene, image in enumerate(scenes)
        for tile in range(3)
    }
    found = []
    for step in (18, 6):
        settings = load_settings(home=tmp_path / str(step), landing={"settle_seconds": 0})
        settings.paths.create()
        lake = Lake.from_settings(settings)
        names = sorted(files)
        for start in range(0, len(names), step):
            batch = ingest(lake, settings, {n: files[n] for n in names[start : start + step]})
            group_batch(lake, batch, settings)
        found.append(groups(lake))
        assert overlapping_splits(lake).is_empty()

    assert found[0] == found[1]
    assert len(set(found[0].values())) == len(scenes)


def test_a_batch_that_is_grouped_reads_no_other(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ingest(lake, settings, {"a.jpg": window(0)})
    group_batch(lake, first, settings)
    second = ingest(lake, settings, {"b.jpg": window(1)})
    group_batch(lake, second, settings)
    before = lake.read("image_groups").sort("image_id")
    monkeypatch.setattr(groups_module, "_others", None)

    group_batch(lake, second, settings)

    assert lake.read("image_groups").sort("image_id").equals(before)


def test_an_empty_batch_has_no_groups(lake: Lake, settings: Settings) -> None:
    batch = ingest(lake, settings, {"broken.jpg": b"no picture"})

    assert group_batch(lake, batch, settings).images == 0
    assert groups(lake) == {}


def test_images_that_share_pixels_across_splits_are_detected(
    lake: Lake, settings: Settings
) -> None:
    names = split_names(Split())
    first = ingest(lake, settings, {names["train"]: window(0), "alone.jpg": encoded(texture(3))})
    second = ingest(lake, settings, {names["test"]: window(1)})
    for batch in (first, second):
        group_batch(lake, batch, settings)
    assert overlapping_splits(lake).is_empty()
    # As an older boatseg, which looked less closely, could have left it behind.
    rows = lake.read("image_groups", batch_id=second)
    lake.replace_batch(
        "image_groups", second, rows.with_columns(group_id=pl.col("image_id"), split=pl.lit("test"))
    )

    leaks = overlapping_splits(lake)

    assert leaks.select("image_id", "split", "image_id_2", "split_2").rows() == [
        (names["train"], "train", names["test"], "test")
    ]
    assert overlapping_splits(lake, first).height == overlapping_splits(lake, second).height == 1

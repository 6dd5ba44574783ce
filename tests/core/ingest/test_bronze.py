from __future__ import annotations

import hashlib
import os
import shutil
from typing import Any

import numpy as np
import pytest
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings
from boatseg_core.errors import InputError, LostRace
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.quality import judge_batch
from boatseg_core.ingest.reconcile import incomplete_batches, missing_files, returned_batches
from boatseg_core.ingest.seal import seal
from boatseg_core.ingest.sources import is_back, open_source
from boatseg_core.lake import Lake


def sealed(lake: Lake, settings: Settings) -> str:
    (batch,) = seal(lake, settings).batches
    return batch


def test_bytes_are_kept_as_they_arrived(lake: Lake, settings: Settings) -> None:
    data = {f"{i}.jpg": encoded(texture(i)) for i in range(70)}  # more than one record batch
    for name, content in data.items():
        drop(settings.images_folder, name, content)
    batch = sealed(lake, settings)
    assert incomplete_batches(lake) == [batch]

    summary = ingest_batch(lake, batch, settings)

    rows = lake.read("raw_images", ["image_id", "image", "sha256", "width", "height"])
    assert {row[0]: row[1] for row in rows.iter_rows()} == data
    assert all(row[2] == hashlib.sha256(row[1]).hexdigest() for row in rows.iter_rows())
    assert (summary.sealed, summary.images, summary.quarantined) == (70, 70, {})
    assert incomplete_batches(lake) == []


def test_bad_files_are_quarantined_and_do_not_stop_the_others(
    lake: Lake, settings: Settings
) -> None:
    good = encoded(texture(1))
    noise = encoded(np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8))
    files = {
        "empty.jpg": b"",
        "text.jpg": b"this is no picture",
        "half.jpg": noise[: len(noise) // 2],
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        "good.jpg": good,
        "really-a-png.jpg": encoded(texture(2), "PNG"),
    }
    for name, content in files.items():
        drop(settings.images_folder, name, content)
    batch = sealed(lake, settings)

    summary = ingest_batch(lake, batch, settings)

    refused = lake.read("quarantine", ["path", "reason", "head", "sha256"], batch_id=batch)
    assert dict(refused.select("path", "reason").iter_rows()) == {
        "empty.jpg": "empty",
        "text.jpg": "not_an_image",
        "half.jpg": "truncated",
        "postscript.jpg": "not_an_image",
    }
    assert all(files[row[0]].startswith(row[2]) for row in refused.iter_rows())
    formats = lake.read("raw_images", ["image_id", "format"], batch_id=batch)
    assert dict(formats.iter_rows()) == {"good.jpg": "JPEG", "really-a-png.jpg": "PNG"}
    assert summary.images + sum(summary.quarantined.values()) == summary.sealed == 6
    assert missing_files(lake, batch) == []


def test_a_bomb_is_refused_before_it_is_decoded(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "bomb.png", encoded(np.zeros((3000, 3000, 3), np.uint8), "PNG"))
    batch = sealed(lake, settings)
    careful = settings.model_copy(
        update={"decode": settings.decode.model_copy(update={"max_pixels": 1_000_000})}
    )

    assert ingest_batch(lake, batch, careful).quarantined == {"too_many_pixels": 1}


def test_a_second_run_gives_the_same_rows(lake: Lake, settings: Settings) -> None:
    for i in range(3):
        drop(settings.images_folder, f"{i}.jpg", encoded(texture(i)))
    drop(settings.images_folder, "bad.jpg", b"")
    batch = sealed(lake, settings)

    ingest_batch(lake, batch, settings)
    before = lake.read("raw_images", ["image_id", "sha256"]).sort("image_id")
    ingest_batch(lake, batch, settings)

    assert lake.read("raw_images", ["image_id", "sha256"]).sort("image_id").equals(before)
    assert lake.read("quarantine").height == 1


def test_a_second_run_keeps_what_has_been_deleted_since(lake: Lake, settings: Settings) -> None:
    kept = encoded(texture(1))
    drop(settings.images_folder, "kept.jpg", kept)
    drop(settings.images_folder, "overwritten.jpg", encoded(texture(2)))
    batch = sealed(lake, settings)
    ingest_batch(lake, batch, settings)
    before = lake.read("raw_images", ["image_id", "image"]).sort("image_id")

    (settings.images_folder / "kept.jpg").unlink()
    drop(settings.images_folder, "overwritten.jpg", encoded(texture(3)))
    summary = ingest_batch(lake, batch, settings)

    assert (summary.images, summary.kept, summary.quarantined) == (2, 2, {})
    assert lake.read("raw_images", ["image_id", "image"]).sort("image_id").equals(before)


@pytest.mark.parametrize("name", ["raw_images", "quarantine"])
def test_a_run_that_commits_between_the_look_and_the_writing_wins(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    drop(settings.images_folder, "good.jpg", encoded(texture(1)))
    drop(settings.images_folder, "bad.jpg", b"no picture")
    batch = sealed(lake, settings)
    replace, others = lake.replace_batch, [name]

    def late(table: str, *args: Any, **options: Any) -> int:
        if table in others:
            others.clear()
            ingest_batch(Lake(lake.root), batch, settings)  # reads both; then they are gone
            for file in settings.images_folder.iterdir():
                file.unlink()
        return replace(table, *args, **options)

    monkeypatch.setattr(lake, "replace_batch", late)
    with pytest.raises(LostRace, match=f"of table {name} was not written"):
        ingest_batch(lake, batch, settings)

    assert lake.read("raw_images")["path"].to_list() == ["good.jpg"]
    (refused,) = lake.read("quarantine").iter_rows(named=True)
    assert (refused["path"], refused["reason"]) == ("bad.jpg", "not_an_image")


def test_a_file_gone_before_it_was_ever_read_is_quarantined(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "gone.jpg", encoded(texture(1)))
    drop(settings.images_folder, "grown.jpg", encoded(texture(2)))
    batch = sealed(lake, settings)
    (settings.images_folder / "gone.jpg").unlink()
    drop(settings.images_folder, "grown.jpg", encoded(texture(2, 512, 512)))

    summary = ingest_batch(lake, batch, settings)

    assert summary.quarantined == {"vanished": 1, "changed": 1}
    # The new content is a new file, not lost.
    (again,) = seal(lake, settings).batches
    assert ingest_batch(lake, again, settings).images == 1


def test_a_folder_that_is_not_there_quarantines_nothing(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "a.jpg", encoded(texture(1)))
    batch = sealed(lake, settings)
    aside = settings.images_folder.rename(settings.images_folder.with_name("aside"))

    with pytest.raises(InputError, match="images cannot be read: No such file"):
        ingest_batch(lake, batch, settings)

    assert (lake.version("raw_images"), lake.version("quarantine")) == (None, None)
    aside.rename(settings.images_folder)
    assert ingest_batch(lake, batch, settings).images == 1


def test_a_file_that_cannot_be_read_is_set_aside_and_does_not_stop_its_batch(
    lake: Lake, settings: Settings
) -> None:
    drop(settings.images_folder, "a.jpg", encoded(texture(1)))
    file = drop(settings.images_folder, "b.jpg", encoded(texture(2)))
    batch = sealed(lake, settings)
    row = lake.read("files").filter(path="b.jpg").row(0, named=True)
    source = open_source("landing", settings)
    aside = file.rename(settings.paths.root / "aside.jpg")
    file.symlink_to(file)  # ELOOP: an OSError on every platform and for every user

    summary = ingest_batch(lake, batch, settings)

    assert (summary.images, summary.quarantined) == (1, {"unreadable": 1})
    assert "asked for again" in lake.read("quarantine")["message"][0]
    assert incomplete_batches(lake) == []
    assert not is_back(source, row)
    file.unlink()
    aside.rename(file)
    assert is_back(source, row)
    assert ingest_batch(lake, batch, settings).images == 2
    assert lake.read("quarantine").is_empty()


def test_what_was_taken_stays_when_it_cannot_be_read_any_more(
    lake: Lake, settings: Settings
) -> None:
    file = drop(settings.images_folder, "a.jpg", encoded(texture(1)))
    batch = sealed(lake, settings)
    ingest_batch(lake, batch, settings)
    file.unlink()
    file.symlink_to(file)

    summary = ingest_batch(lake, batch, settings)

    assert (summary.images, summary.kept, summary.quarantined) == (1, 1, {})


def test_a_changed_file_is_a_new_version_and_both_are_kept(lake: Lake, settings: Settings) -> None:
    first, second = encoded(texture(1)), encoded(texture(2))
    drop(settings.images_folder, "a.jpg", first)
    old = sealed(lake, settings)
    assert ingest_batch(lake, old, settings).new_versions == 0
    drop(settings.images_folder, "a.jpg", second)
    drop(settings.images_folder, "b.jpg", encoded(texture(3)))
    new = sealed(lake, settings)

    assert ingest_batch(lake, new, settings).new_versions == 1

    rows = lake.read("raw_images", ["image_id", "batch_id", "image"]).sort("batch_id", "image_id")
    assert [(row[0], row[1]) for row in rows.iter_rows()] == [
        ("a.jpg", old),
        ("a.jpg", new),
        ("b.jpg", new),
    ]
    assert rows["image"].to_list()[:2] == [first, second]
    assert ingest_batch(lake, old, settings).kept == 1  # a second run of the old one keeps it


def test_a_file_that_comes_back_is_asked_for_again(lake: Lake, settings: Settings) -> None:
    kept = [encoded(texture(seed)) for seed in (1, 2)]
    gone, changed = (
        drop(settings.images_folder, name, data)
        for name, data in zip(("deep/gone.jpg", "changed.jpg"), kept, strict=True)
    )
    drop(settings.images_folder, "empty.jpg", b"")
    batch = sealed(lake, settings)
    sealed_at = changed.stat().st_mtime_ns
    gone.parent.rename(settings.paths.root / "aside")
    drop(settings.images_folder, "changed.jpg", b"something else")
    ingest_batch(lake, batch, settings)
    assert returned_batches(lake, settings) == []

    shutil.copytree(settings.paths.root / "aside", gone.parent)  # keeps sizes and times
    assert returned_batches(lake, settings) == [batch]
    assert ingest_batch(lake, batch, settings).quarantined == {"changed": 1, "empty": 1}
    assert returned_batches(lake, settings) == []

    changed.write_bytes(kept[1])  # the content, but not the time of modification
    assert returned_batches(lake, settings) == []
    os.utime(changed, ns=(sealed_at, sealed_at))
    assert returned_batches(lake, settings) == [batch]
    assert ingest_batch(lake, batch, settings).quarantined == {"empty": 1}
    assert returned_batches(lake, settings) == []


def test_nothing_has_returned_to_an_empty_lake(lake: Lake, settings: Settings) -> None:
    assert returned_batches(lake, settings) == []


def test_a_refusal_outlives_the_file(lake: Lake, settings: Settings) -> None:
    file = drop(settings.images_folder, "text.jpg", b"this is no picture")
    batch = sealed(lake, settings)
    ingest_batch(lake, batch, settings)
    columns = ["path", "reason", "message", "sha256", "head", "quarantined_at"]
    before = lake.read("quarantine", columns)
    file.unlink()

    summary = ingest_batch(lake, batch, settings)

    assert summary.quarantined == {"not_an_image": 1}
    assert lake.read("quarantine", columns).equals(before)


def test_an_unknown_batch_is_refused(lake: Lake, settings: Settings) -> None:
    with pytest.raises(InputError, match="20200101-000001 is not in the ledger"):
        ingest_batch(lake, "20200101-000001", settings)


def test_quality_is_judged_from_measurements_alone(lake: Lake, settings: Settings) -> None:
    white = np.full((256, 256, 3), 255, np.uint8)
    drop(settings.images_folder, "fine.jpg", encoded(texture(1)))
    drop(settings.images_folder, "small.jpg", encoded(texture(2, 48, 64)))
    drop(settings.images_folder, "white.jpg", encoded(white))
    batch = sealed(lake, settings)
    ingest_batch(lake, batch, settings)
    for file in settings.images_folder.iterdir():
        file.unlink()

    summary = judge_batch(lake, batch, settings)

    verdicts = lake.read("image_quality", ["image_id", "passed", "reasons"]).sort("image_id")
    assert verdicts.rows() == [
        ("fine.jpg", True, []),
        ("small.jpg", False, ["too_narrow", "too_low"]),
        ("white.jpg", False, ["too_bright", "too_flat", "blank"]),
    ]
    assert summary.pass_rate == pytest.approx(1 / 3)


def test_a_changed_criterion_changes_the_verdict(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "a.jpg", encoded(texture(1, 160, 160)))
    batch = sealed(lake, settings)
    ingest_batch(lake, batch, settings)
    assert judge_batch(lake, batch, settings).passed == 1
    strict = settings.model_copy(
        update={"quality": settings.quality.model_copy(update={"min_width": 200})}
    )

    assert judge_batch(lake, batch, strict).reasons == {"too_narrow": 1}

"""Archives, bounds and buckets: what a look finds, and where the next one goes on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import obstore
import polars as pl
import pytest
from support.archives import KINDS, archive, overlapping_zip, zipped
from support.pictures import drop, encoded, texture
from support.s3 import S3Server

from boatseg_core.config import Settings, load_settings
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.discover import Discovery, discover
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake


def landing(settings: Settings, **changes: object) -> Settings:
    changed = settings.landing.model_copy(update=changes)
    return settings.model_copy(update={"landing": changed})


def in_steps(lake: Lake, settings: Settings, **bounds: float) -> list[Discovery]:
    """Seal step by step, as the sensor does, until a listing is complete."""
    steps: list[Discovery] = []
    after = ""
    while not steps or not steps[-1].complete:
        steps.append(seal(lake, settings, after=after, **bounds).discovery)  # type: ignore[arg-type]
        assert steps[-1].complete or steps[-1].after > after
        after = steps[-1].after
    return steps


@pytest.mark.parametrize("kind", KINDS)
def test_an_archives_images_become_rows_of_the_ledger_and_of_bronze(
    lake: Lake, settings: Settings, kind: str
) -> None:
    pictures = {f"day/{i}.jpg": encoded(texture(i, 64, 64)) for i in range(3)}
    file = drop(settings.images_folder, f"deep/all{kind}", archive(kind, pictures))
    drop(settings.images_folder, "deep/all.jpg", encoded(texture(9, 64, 64)))

    (batch,) = seal(lake, settings).batches
    summary = ingest_batch(lake, batch, settings)

    ledger = lake.read("files").sort("path")
    found = file.stat()
    inside = ledger.filter(pl.col("archive") != "")
    assert inside["path"].to_list() == [f"deep/all{kind}/{name}" for name in pictures]
    assert inside["image_id"].to_list() == inside["path"].to_list()
    assert inside["size_bytes"].to_list() == [len(data) for data in pictures.values()]
    assert set(inside["mtime_ns"]) == {found.st_mtime_ns}
    assert set(inside["etag"]) == {str(found.st_size)}
    assert (summary.images, summary.quarantined) == (4, {})
    rows = lake.read("raw_images", ["path", "image"]).filter(pl.col("path").str.contains("day"))
    assert dict(rows.iter_rows()) == {f"deep/all{kind}/{k}": v for k, v in pictures.items()}
    assert seal(lake, settings).batches == {}


def test_an_archive_is_sealed_in_one_commit_over_many_batches(
    lake: Lake, settings: Settings
) -> None:
    drop(settings.images_folder, "a.jpg", b"1")
    drop(settings.images_folder, "b.tar", archive(".tar", {f"{i}.jpg": b"x" for i in range(25)}))
    drop(settings.images_folder, "c.jpg", b"1")
    few = settings.model_copy(update={"seal": settings.seal.model_copy(update={"max_files": 10})})
    before = lake.create("files").version()

    sealed = seal(lake, few, max_files=5)

    assert list(sealed.batches.values()) == [10, 10, 6]  # never cut inside an archive
    assert lake.version("files") == before + 1
    assert (sealed.discovery.complete, sealed.discovery.after) == (False, "b.tar")
    rest = seal(lake, few, max_files=5, after="b.tar")
    assert list(rest.batches.values()) == [1]
    assert (rest.discovery.complete, rest.discovery.after) == (True, "")


def test_an_overwritten_archive_is_new_with_all_its_images(lake: Lake, settings: Settings) -> None:
    pictures = {f"{i}.jpg": encoded(texture(i, 64, 64)) for i in range(3)}
    drop(settings.images_folder, "a.zip", zipped(pictures))
    (old,) = seal(lake, settings).batches
    ingest_batch(lake, old, settings)
    drop(settings.images_folder, "a.zip", zipped(pictures | {"3.jpg": pictures["0.jpg"]}))

    (new,) = seal(lake, settings).batches
    summary = ingest_batch(lake, new, settings)

    assert (summary.images, summary.new_versions) == (4, 3)
    assert ingest_batch(lake, old, settings).kept == 3


def test_an_archive_that_cannot_be_used_is_one_row_of_quarantine(
    lake: Lake, settings: Settings
) -> None:
    folder = settings.images_folder
    drop(folder, "cut.zip", zipped({"a.jpg": b"x"})[:-5])
    drop(folder, "bomb.zip", overlapping_zip(900, 8 * 2**20))
    drop(folder, "text.tar.gz", b"no archive at all")
    drop(folder, "none.zip", zipped({"readme.txt": b"x"}))
    drop(folder, "good.zip", zipped({"a.jpg": encoded(texture(1)), "../b.jpg": b"x"}))

    (batch,) = seal(lake, settings).batches
    summary = ingest_batch(lake, batch, settings)

    refused = lake.read("quarantine", ["path", "reason", "sha256"]).sort("path")
    assert [row[:2] for row in refused.iter_rows()] == [
        ("bomb.zip", "bomb"),
        ("cut.zip", "corrupt_archive"),
        ("good.zip/%2E%2E/b.jpg", "unsafe_member"),
        ("none.zip", "no_images"),
        ("text.tar.gz", "corrupt_archive"),
    ]
    assert (summary.sealed, summary.images) == (6, 1)
    assert seal(lake, settings).batches == {}


def test_archives_can_be_left_alone(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "a.zip", zipped({"a.jpg": b"x"}))

    found = discover(lake, landing(settings, archives=False))

    assert (found.listed, found.ignored, found.new.height) == (0, 1, 0)


def test_a_young_archive_waits(lake: Lake, settings: Settings) -> None:
    file = drop(settings.images_folder, "a.zip", zipped({"a.jpg": b"x"}))
    patient = landing(settings, settle_seconds=60.0)
    assert discover(lake, patient).unsettled == 1
    os.utime(file, (1, 1))
    assert discover(lake, patient).new.height == 1


def test_a_look_bounded_in_files_goes_on_where_it_stopped(lake: Lake, settings: Settings) -> None:
    for i in range(7):
        drop(settings.images_folder, f"{i}.jpg", b"x")
    drop(settings.images_folder, "3.zip", zipped({f"{i}.jpg": b"x" for i in range(4)}))

    steps = in_steps(lake, settings, max_files=3)

    assert [step.new["path"].to_list() for step in steps] == [
        ["0.jpg", "1.jpg", "2.jpg"],
        ["3.jpg", *(f"3.zip/{i}.jpg" for i in range(4))],
        ["4.jpg", "5.jpg", "6.jpg"],
    ]
    assert seal(lake, settings).batches == {}


def test_a_look_bounded_in_time_gets_on_however_short_it_is(lake: Lake, settings: Settings) -> None:
    for i in range(1000):
        (settings.images_folder / f"{i:04}.jpg").write_bytes(b"x")

    steps = in_steps(lake, settings, seconds=1e-9)

    assert len(steps) == 4  # the clock is looked at every 256 files
    assert sorted(lake.read("files")["path"]) == [f"{i:04}.jpg" for i in range(1000)]


def test_a_place_to_go_on_from_that_is_lost_or_wrong_costs_no_file(
    lake: Lake, settings: Settings
) -> None:
    for name in ("a.jpg", "b/c.jpg", "d.jpg"):
        drop(settings.images_folder, name, b"x")

    assert sum(seal(lake, settings, after="zzz").batches.values()) == 0
    assert sum(seal(lake, settings, after="b/").batches.values()) == 2
    assert sum(seal(lake, settings).batches.values()) == 1


def test_an_unreadable_listing_of_many_names_ends_at_one_that_can_be_written_down(
    lake: Lake, settings: Settings
) -> None:
    for i in range(600):
        name = os.fsencode(settings.images_folder) + b"/\xff%04d.jpg" % i
        Path(os.fsdecode(name)).write_bytes(b"x")
    drop(settings.images_folder, "a.jpg", b"x")

    found = discover(lake, settings, seconds=1e-9)

    found.after.encode("utf-8")
    assert len(found.unnameable) == 600


def test_what_was_put_back_as_it_was_is_new_once_more(lake: Lake, settings: Settings) -> None:
    def state(data: bytes, at: int) -> None:
        os.utime(drop(settings.images_folder, "a.jpg", data), ns=(at, at))

    for data, at in ((b"1", 1), (b"22", 2), (b"1", 1)):
        state(data, at)
        assert sum(seal(lake, settings).batches.values()) == 1
        assert seal(lake, settings).batches == {}
    assert lake.read("files").sort("batch_id")["size_bytes"].to_list() == [1, 2, 1]


def test_the_same_path_in_another_source_is_another_file(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    drop(settings.images_folder, "a.jpg", b"1")
    seal(lake, settings)
    other = drop(tmp_path / "other", "a.jpg", b"1")
    found = (settings.images_folder / "a.jpg").stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))

    moved = landing(settings, images=str(tmp_path / "other"))

    assert sum(seal(lake, moved).batches.values()) == 1
    assert set(lake.read("files")["source"]) == {"landing", str(tmp_path / "other")}


# Buckets


@pytest.fixture
def remote(s3: S3Server, tmp_path: Path) -> tuple[Settings, Lake, str]:
    """Images in a bucket, and the lake at home."""
    bucket = s3.bucket()
    obstore.put(s3.store(bucket), "in/first.jpg", encoded(texture(0, 64, 64)))
    settings = load_settings(
        home=tmp_path / "home",
        storage_options=s3.storage_options,
        landing={"settle_seconds": 0, "images": f"s3://{bucket}/in/"},
    )
    return settings, Lake.from_settings(settings), bucket


def test_a_bucket_is_discovered_sealed_and_read_like_a_folder(
    s3: S3Server, remote: tuple[Settings, Lake, str]
) -> None:
    settings, _, bucket = remote
    settings = settings.model_copy(update={"lake_uri": f"s3://{bucket}/lake"})
    lake = Lake.from_settings(settings)
    store = s3.store(bucket)
    data = {f"{i % 2}/{i}.jpg": encoded(texture(i, 64, 64)) for i in range(6)}
    for name, content in data.items():
        obstore.put(store, f"in/{name}", content)
    obstore.put(store, "in/broken.jpg", b"no picture")
    obstore.put(store, "in/notes.txt", b"x")
    obstore.put(store, "in/more.zip", zipped({"z.jpg": data["0/0.jpg"]}))

    sealed = seal(lake, settings)
    (batch,) = sealed.batches
    summary = ingest_batch(lake, batch, settings)

    assert (sealed.discovery.new.height, sealed.discovery.ignored) == (9, 1)
    assert (summary.images, summary.quarantined) == (8, {"not_an_image": 1})
    rows = lake.read("raw_images", ["path", "image", "source"])
    assert set(rows["source"]) == {f"s3://{bucket}/in"}
    found = dict(rows.select("path", "image").iter_rows())
    assert {path: found[path] for path in data} == data
    assert found["more.zip/z.jpg"] == data["0/0.jpg"]
    again = discover(lake, settings)
    assert (again.known, again.new.height) == (9, 0)


def test_objects_are_known_by_their_bytes_and_not_by_their_time(
    s3: S3Server, remote: tuple[Settings, Lake, str]
) -> None:
    settings, lake, bucket = remote
    store = s3.store(bucket)
    first, second = encoded(texture(0, 64, 64)), encoded(texture(1, 64, 64))
    (old,) = seal(lake, settings).batches
    ingest_batch(lake, old, settings)
    time.sleep(1.1)  # last_modified has whole seconds
    obstore.put(store, "in/first.jpg", first)
    assert seal(lake, settings).batches == {}

    obstore.put(store, "in/first.jpg", second)
    (new,) = seal(lake, settings).batches
    assert ingest_batch(lake, new, settings).new_versions == 1
    assert ingest_batch(lake, old, settings).kept == 1  # overwritten since: the old row stays
    obstore.put(store, "in/first.jpg", first)  # put back: the newest version is the old bytes
    assert len(seal(lake, settings).batches) == 1
    assert seal(lake, settings).batches == {}


def test_an_object_that_has_just_arrived_waits(
    s3: S3Server, remote: tuple[Settings, Lake, str]
) -> None:
    settings, lake, _ = remote

    found = discover(lake, landing(settings, settle_seconds=3600.0))

    assert (found.unsettled, found.new.height) == (1, 0)


def test_objects_overwritten_and_deleted_between_sealing_and_reading(
    s3: S3Server, remote: tuple[Settings, Lake, str]
) -> None:
    settings, lake, bucket = remote
    store = s3.store(bucket)
    for name in ("changed", "deleted"):
        obstore.put(store, f"in/{name}.jpg", encoded(texture(1, 64, 64)))
    (batch,) = seal(lake, settings).batches
    obstore.put(store, "in/changed.jpg", encoded(texture(2, 64, 64)))
    obstore.delete(store, "in/deleted.jpg")

    summary = ingest_batch(lake, batch, settings)

    assert (summary.images, summary.quarantined) == (1, {"changed": 1, "vanished": 1})
    (again,) = seal(lake, settings).batches
    assert ingest_batch(lake, again, settings).images == 1


def test_a_bucket_is_gone_through_in_steps(
    s3: S3Server, remote: tuple[Settings, Lake, str]
) -> None:
    settings, lake, bucket = remote
    names = ("a/1", "a/2", "a-3", "a.4", "b", "z/z/z")
    for name in names:
        obstore.put(s3.store(bucket), f"in/{name}.jpg", name.encode())

    after, looks = "", 0
    while looks == 0 or after:
        after = seal(lake, settings, after=after, max_files=2).discovery.after
        looks += 1

    assert looks == 4
    assert set(lake.read("files")["path"]) == {f"{name}.jpg" for name in (*names, "first")}
    assert lake.read("files").height == 7

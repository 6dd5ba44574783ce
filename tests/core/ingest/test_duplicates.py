"""The same bytes under another name: one is kept, whatever the order of events."""

from __future__ import annotations

import os
import random
import threading
from itertools import permutations

import polars as pl
import pyarrow as pa
import pytest
from support.batches import build, changed, finish, label
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings
from boatseg_core.dataset.differences import DUPLICATES
from boatseg_core.dataset.gold import build_gold
from boatseg_core.dataset.staleness import all_reasons
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.duplicates import duplicates, stale_duplicates
from boatseg_core.ingest.quality import criteria_hash, judge_batch, outdated_verdicts
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import TABLES, Lake


def links(lake: Lake) -> dict[tuple[str, str], str]:
    rows = lake.read("image_quality", ["image_id", "batch_id", "duplicate_of"])
    return {
        (image, batch): original
        for image, batch, original in rows.iter_rows()
        if original is not None
    }


def settle(lake: Lake, settings: Settings) -> int:
    """Judge again what is stale until nothing is; the number of rounds."""
    for number in range(10):
        stale = outdated_verdicts(lake, settings)
        if not stale:
            return number
        for batch in stale:
            judge_batch(lake, batch, settings)
    raise AssertionError("the verdicts do not come to rest")


def touch(settings: Settings, name: str, seconds: int) -> None:
    file = settings.images_folder / name
    os.utime(file, (seconds, seconds))


def test_a_copy_is_flagged_kept_and_not_trained_on(lake: Lake, settings: Settings) -> None:
    same = encoded(texture(1))
    for name in ("b/copy.jpg", "a.jpg", "c.jpg"):
        drop(settings.images_folder, name, same if name != "c.jpg" else encoded(texture(2)))
    label(settings, "a.jpg", "b/copy.jpg", "c.jpg")

    (batch,) = build(lake, settings)

    rows = lake.read("image_quality").sort("image_id")
    assert rows["duplicate_of"].to_list() == [None, "a.jpg", None]
    assert rows["passed"].to_list() == [True, False, True]
    assert rows["reasons"].to_list() == [[], ["duplicate"], []]
    assert lake.read("raw_images").height == 3
    assert sorted(lake.read("gold_dataset")["image_id"]) == ["a.jpg", "c.jpg"]
    assert build_gold(lake, batch).left_out == {"duplicate": 1}
    assert stale_duplicates(lake) == []


def test_a_later_copy_is_the_duplicate_even_with_a_smaller_name(
    lake: Lake, settings: Settings
) -> None:
    drop(settings.images_folder, "m.jpg", encoded(texture(1)))
    (first,) = build(lake, settings)
    drop(settings.images_folder, "a.jpg", encoded(texture(1)))
    (second,) = build(lake, settings)

    assert links(lake) == {("a.jpg", second): "m.jpg"}
    assert duplicates(lake, first).is_empty()
    assert stale_duplicates(lake) == []


def test_a_touched_image_is_no_duplicate_of_itself(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "a.jpg", encoded(texture(1)))
    build(lake, settings)
    touch(settings, "a.jpg", 1_500_000_000)
    (second,) = build(lake, settings)

    assert lake.read("raw_images").height == 2
    assert links(lake) == {}
    assert stale_duplicates(lake) == []
    newest = lake.read("image_quality", ["passed"], batch_id=second)
    assert newest["passed"].to_list() == [True]


def test_a_duplicate_becomes_an_original_when_its_original_is_overwritten(
    lake: Lake, settings: Settings
) -> None:
    for name in ("a.jpg", "b.jpg"):
        drop(settings.images_folder, name, encoded(texture(1)))
    label(settings, "a.jpg", "b.jpg")
    (first,) = build(lake, settings)
    assert links(lake) == {("b.jpg", first): "a.jpg"}

    drop(settings.images_folder, "a.jpg", encoded(texture(3)))
    (second,) = build(lake, settings)

    assert stale_duplicates(lake) == [first]
    assert outdated_verdicts(lake, settings) == [first]
    assert settle(lake, settings) == 1
    assert links(lake) == {}
    for batch in (first, second):
        build_gold(lake, batch)
    gold = lake.read("gold_dataset", ["image_id", "batch_id"]).sort("image_id")
    assert gold.rows() == [("a.jpg", second), ("b.jpg", first)]


def test_an_older_version_that_looks_like_another_image_is_no_original(
    lake: Lake, settings: Settings
) -> None:
    drop(settings.images_folder, "a.jpg", encoded(texture(1)))
    build(lake, settings)
    drop(settings.images_folder, "a.jpg", encoded(texture(2)))
    build(lake, settings)
    drop(settings.images_folder, "b.jpg", encoded(texture(1)))  # the bytes a.jpg once had
    build(lake, settings)
    settle(lake, settings)

    assert links(lake) == {}


def test_a_changed_version_that_became_a_copy(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "a.jpg", encoded(texture(1)))
    drop(settings.images_folder, "b.jpg", encoded(texture(2)))
    build(lake, settings)
    drop(settings.images_folder, "a.jpg", encoded(texture(2)))
    (second,) = build(lake, settings)

    assert links(lake) == {("a.jpg", second): "b.jpg"}
    assert stale_duplicates(lake) == []


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_in_which_batches_are_judged_does_not_matter(
    lake: Lake, settings: Settings, order: tuple[int, ...]
) -> None:
    for i in range(3):
        drop(settings.images_folder, f"{'cab'[i]}.jpg", encoded(texture(1)))
        drop(settings.images_folder, f"{'cab'[i]}-own.jpg", encoded(texture(10 + i)))
        seal(lake, settings)
    batches = sorted(set(lake.read("files")["batch_id"]))
    for i in order:
        ingest_batch(lake, batches[i], settings)
        judge_batch(lake, batches[i], settings)

    settle(lake, settings)

    assert links(lake) == {("a.jpg", batches[1]): "c.jpg", ("b.jpg", batches[2]): "c.jpg"}


def test_two_batches_judged_at_the_same_moment_converge(lake: Lake, settings: Settings) -> None:
    small = changed(settings, "seal", max_files=1)
    for i in range(6):
        drop(settings.images_folder, f"{i}.jpg", encoded(texture(i // 2)))
    batches = list(seal(lake, small).batches)
    barrier = threading.Barrier(len(batches))
    failed: list[BaseException] = []

    def work(batch: str) -> None:
        try:
            barrier.wait()
            ingest_batch(lake, batch, small)
            barrier.wait()
            judge_batch(lake, batch, small)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert settle(lake, small) <= 1
    assert {image: of for (image, _), of in links(lake).items()} == {
        "1.jpg": "0.jpg",
        "3.jpg": "2.jpg",
        "5.jpg": "4.jpg",
    }


def made_up(lake: Lake, rng: random.Random) -> dict[tuple[str, str], str]:
    """Write the narrow tables of a made-up history; the hash of each row of bronze."""
    rows = {
        (f"{rng.randrange(6)}.jpg", f"b{number}"): f"{rng.randrange(4):064x}"
        for number in range(rng.randrange(1, 5))
        for _ in range(rng.randrange(1, 5))
    }
    read = {key: sha for key, sha in rows.items() if rng.random() > 0.2}  # the others: not yet
    write(lake, "files", [{"image_id": i, "batch_id": b} for i, b in rows])
    write(
        lake,
        "raw_images",
        [{"image_id": i, "batch_id": b, "sha256": sha} for (i, b), sha in read.items()],
    )
    newest = {i: max(b for j, b in rows if j == i) for i, _ in rows}
    return {key: sha for key, sha in read.items() if newest[key[0]] == key[1]}


def by_the_rule(current: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    expected = {}
    for key, sha in current.items():
        alike = [other for other in current if current[other] == sha]
        original = min(alike, key=lambda other: (other[1], other[0]))
        if original != key:
            expected[key] = original[0]
    return expected


@pytest.mark.parametrize("seed", range(12))
def test_random_histories_agree_with_a_plain_reading_of_the_rule(lake: Lake, seed: int) -> None:
    expected = by_the_rule(made_up(lake, random.Random(seed)))

    assert {(row[0], row[1]): row[2] for row in duplicates(lake).iter_rows()} == expected
    for batch in {batch for _, batch in expected} | {"b0"}:
        part = {(r[0], r[1]): r[2] for r in duplicates(lake, batch).iter_rows()}
        assert part == {k: v for k, v in expected.items() if k[1] == batch}


@pytest.mark.parametrize("seed", range(12))
def test_the_sensor_reads_the_rule_the_same_way(lake: Lake, settings: Settings, seed: int) -> None:
    """Its incremental comparison is code of its own, and must say what this module says."""
    rng = random.Random(100 + seed)
    current = made_up(lake, rng)
    links = by_the_rule(current)
    for key in list(current):  # verdicts of which some miss a link, and some have a wrong one
        if rng.random() < 0.3:
            links[key] = "nobody.jpg" if rng.random() < 0.5 else links.get(key, "")
            if not links[key]:
                del links[key]
        elif rng.random() < 0.3:
            links.pop(key, None)
    judged = lake.read("raw_images", ["image_id", "batch_id"]).rows()
    write(
        lake,
        "image_quality",
        [
            {
                "image_id": image,
                "batch_id": batch,
                "passed": (image, batch) not in links,
                "criteria": criteria_hash(settings.quality),
                "duplicate_of": links.get((image, batch)),
            }
            for image, batch in judged
        ],
    )

    stale = stale_duplicates(lake)

    reasons = all_reasons(lake, settings)
    assert stale == sorted(batch for batch, why in reasons.items() if DUPLICATES in why)


def write(lake: Lake, name: str, rows: list[dict[str, object]]) -> None:
    """Append rows; every column that a test does not care about is null."""
    schema = TABLES[name].schema
    lake.append(
        name,
        pa.Table.from_pylist(
            [{column: row.get(column) for column in schema.names} for row in rows], schema=schema
        ),
    )


def test_a_rewritten_batch_is_stale(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "a.jpg", encoded(texture(1)))
    drop(settings.images_folder, "b.jpg", encoded(texture(1)))
    (batch,) = build(lake, settings)
    assert len(links(lake)) == 1
    names = lake.table("raw_images").to_pyarrow_dataset().schema.names
    rows = lake.read("raw_images", names)
    lake.replace_batch("raw_images", batch, rows.filter(pl.col("image_id") == "b.jpg"))

    assert duplicates(lake).is_empty()
    assert stale_duplicates(lake) == [batch]


def test_an_empty_lake_has_no_duplicates(lake: Lake) -> None:
    assert duplicates(lake).is_empty()
    assert stale_duplicates(lake) == []


def test_a_hash_that_only_begins_alike_is_no_duplicate(lake: Lake) -> None:
    write(lake, "files", [{"image_id": i, "batch_id": "b1"} for i in "abc"])
    rows = [("a", "f" * 16 + "0" * 48), ("b", "f" * 16 + "1" * 48), ("c", "f" * 16 + "1" * 48)]
    write(lake, "raw_images", [{"image_id": i, "batch_id": "b1", "sha256": sha} for i, sha in rows])

    for found in (duplicates(lake), duplicates(lake, "b1")):
        assert found.rows() == [("c", "b1", "b")]


def test_finish_is_idempotent(lake: Lake, settings: Settings) -> None:
    for name in ("a.jpg", "b.jpg"):
        drop(settings.images_folder, name, encoded(texture(4)))
    (batch,) = build(lake, settings)
    before = links(lake)

    finish(lake, batch, settings)

    assert links(lake) == before == {("b.jpg", batch): "a.jpg"}

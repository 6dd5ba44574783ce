"""Several batches are read one after the other, the next one while one is committed."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from support.pictures import drop, encoded, texture

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import InputError, LakeError
from boatseg_core.ingest import ahead
from boatseg_core.ingest.ahead import Reading
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.completeness import completeness
from boatseg_core.ingest.pictures import Taken
from boatseg_core.ingest.seal import seal
from boatseg_core.ingest.sources import Row
from boatseg_core.ingest.sources.local import LocalSource
from boatseg_core.lake import Lake

PER_BATCH, BATCHES = 5, 4


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(
        home=tmp_path / "home",
        landing={"settle_seconds": 0},
        seal={"max_files": PER_BATCH},
        decode={"threads": 2},
    )
    settings.paths.create()
    return settings


@pytest.fixture
def batches(lake: Lake, settings: Settings) -> list[str]:
    for number in range(PER_BATCH * BATCHES):
        drop(settings.images_folder, f"{number:02}.jpg", encoded(texture(number)))
    return sorted(seal(lake, settings).batches)


def test_every_file_becomes_a_row_of_its_own_batch(
    lake: Lake, settings: Settings, batches: list[str]
) -> None:
    with Reading(lake, settings, batches) as reading:
        for batch in batches:
            assert ingest_batch(lake, batch, settings, reading=reading).images == PER_BATCH
    assert lake.counts("raw_images") == dict.fromkeys(batches, PER_BATCH)
    assert [completeness(lake, batch).problems for batch in batches] == [[]] * BATCHES


def test_the_next_batch_is_decoded_while_one_is_committed(
    lake: Lake, settings: Settings, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    begun = threading.Event()
    original, replace = ahead.outcome, Lake.replace_batch

    def noted(row, *args):  # type: ignore[no-untyped-def]
        decoded.append(row["batch_id"])
        if row["batch_id"] == batches[1]:
            begun.set()
        return original(row, *args)

    def commit(self, name, batch, data, **options):  # type: ignore[no-untyped-def]
        version = replace(self, name, batch, data, **options)
        if (name, batch) == ("raw_images", batches[0]):
            assert begun.wait(30)
        return version

    monkeypatch.setattr(ahead, "outcome", noted)
    monkeypatch.setattr(Lake, "replace_batch", commit)
    with Reading(lake, settings, batches) as reading:
        ingest_batch(lake, batches[0], settings, reading=reading)
        # One batch ahead and no more, however small it is.
        assert set(decoded) <= set(batches[:2])


def test_what_is_in_flight_is_bounded_over_all_batches(
    lake: Lake, settings: Settings, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_FILES", 3)
    with Reading(lake, settings, batches) as reading:
        for batch in batches:
            _, outcomes = reading.take(batch)
            for number, outcome in enumerate(outcomes):
                assert isinstance(outcome, Taken) and outcome.row["batch_id"] == batch
                waiting = [asked.files for each in reading._begun for asked in each.waiting]
                assert sum(waiting) == reading._files <= 3
                assert number < PER_BATCH
        assert (reading._files, reading._bytes) == (0, 0)


def test_a_batch_that_cannot_be_read_is_said_of_itself_and_stops_no_other(
    lake: Lake, settings: Settings, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = batches[1]
    read = Lake.read

    def unreadable(self, name, *args, **options):  # type: ignore[no-untyped-def]
        if name == "files" and options.get("batch_id") == bad:
            raise LakeError("the ledger cannot be read")
        return read(self, name, *args, **options)

    monkeypatch.setattr(Lake, "read", unreadable)
    with Reading(lake, settings, batches) as reading:
        for batch in batches:
            if batch == bad:
                with pytest.raises(LakeError, match="the ledger cannot be read"):
                    ingest_batch(lake, batch, settings, reading=reading)
            else:
                ingest_batch(lake, batch, settings, reading=reading)
    assert sorted(lake.counts("raw_images")) == [b for b in batches if b != bad]


def test_a_source_that_goes_away_in_the_middle_ends_its_batch_only(
    lake: Lake, settings: Settings, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = ahead.reads

    def gone(source, rows, limits):  # type: ignore[no-untyped-def]
        for number, found in enumerate(reads(source, rows, limits)):
            if found[0]["batch_id"] == batches[2] and number == 3:
                raise InputError("the disk is gone")
            yield found

    monkeypatch.setattr(ahead, "reads", gone)
    with Reading(lake, settings, batches) as reading:
        for batch in batches:
            if batch == batches[2]:
                with pytest.raises(InputError, match="the disk is gone"):
                    ingest_batch(lake, batch, settings, reading=reading)
            else:
                ingest_batch(lake, batch, settings, reading=reading)
    assert sorted(lake.counts("raw_images")) == [b for b in batches if b != batches[2]]


def test_a_failed_commit_does_not_take_the_next_batch_along(
    lake: Lake, settings: Settings, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Lake.replace_batch

    def full(self, name, batch, data, **options):  # type: ignore[no-untyped-def]
        if batch == batches[0]:
            next(iter(data))  # the disk fills up after the first rows
            raise LakeError("no space left on device")
        return replace(self, name, batch, data, **options)

    monkeypatch.setattr(Lake, "replace_batch", full)
    with Reading(lake, settings, batches) as reading:
        with pytest.raises(LakeError, match="no space left"):
            ingest_batch(lake, batches[0], settings, reading=reading)
        for batch in batches[1:]:
            ingest_batch(lake, batch, settings, reading=reading)
    assert lake.counts("raw_images") == dict.fromkeys(batches[1:], PER_BATCH)


def test_batches_may_be_passed_over_taken_twice_and_taken_unannounced(
    lake: Lake, settings: Settings, batches: list[str]
) -> None:
    with Reading(lake, settings, batches[:3]) as reading:
        reading.take(batches[0])  # and left
        for batch in (batches[2], batches[2], batches[3], batches[1]):
            ingest_batch(lake, batch, settings, reading=reading)
        with pytest.raises(InputError, match="is not in the ledger"):
            ingest_batch(lake, "20200101-000001", settings, reading=reading)
    assert sorted(lake.counts("raw_images")) == batches[1:]


def test_a_batch_that_was_used_in_part_is_read_again_from_its_first_file(
    lake: Lake, settings: Settings, batches: list[str]
) -> None:
    with Reading(lake, settings, batches) as reading:
        _, outcomes = reading.take(batches[0])
        next(outcomes)
        assert ingest_batch(lake, batches[0], settings, reading=reading).images == PER_BATCH
        assert list(outcomes) == []  # of the first time; and that ends nothing of the next batch
        assert ingest_batch(lake, batches[1], settings, reading=reading).images == PER_BATCH
    assert completeness(lake, batches[0]).problems == []


def test_a_folder_that_goes_away_between_two_batches_loses_nothing(
    lake: Lake, settings: Settings, batches: list[str], tmp_path: Path
) -> None:
    with Reading(lake, settings, batches) as reading:
        ingest_batch(lake, batches[0], settings, reading=reading)
        shutil.move(settings.images_folder, tmp_path / "away")
        # What was read ahead is taken; of the rest nothing is said of any file.
        with pytest.raises(InputError, match="cannot be read"):
            for batch in batches[1:]:
                ingest_batch(lake, batch, settings, reading=reading)
    assert lake.counts("quarantine") == {}
    shutil.move(tmp_path / "away", settings.images_folder)
    with Reading(lake, settings, batches) as reading:
        for batch in batches:
            ingest_batch(lake, batch, settings, reading=reading)
    assert lake.counts("raw_images") == dict.fromkeys(batches, PER_BATCH)


def test_a_source_that_was_down_is_not_waited_for_again(
    lake: Lake, settings: Settings, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a store that does not answer, every look may take minutes."""
    looks: list[str] = []

    def down(source: LocalSource) -> None:
        looks.append(source.name)
        raise InputError("the store does not answer")

    monkeypatch.setattr(LocalSource, "check", down)
    with Reading(lake, settings, batches) as reading:
        for batch in batches:
            with pytest.raises(InputError, match="does not answer"):
                reading.take(batch)
    assert looks == ["landing"]


def test_reads_of_a_batch_that_is_dropped_are_not_made(
    lake: Lake, settings: Settings, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a bucket: reading has threads of its own, here one, which is held up."""
    go_on, begun = threading.Event(), threading.Event()
    read: list[str] = []
    fetch = LocalSource.fetch

    def slow(source: LocalSource, row: Row) -> bytes:
        read.append(row["path"])
        begun.set()
        assert go_on.wait(30)
        return fetch(source, row)

    monkeypatch.setattr(LocalSource, "fetch", slow)
    monkeypatch.setattr(LocalSource, "readers", 1)
    with Reading(lake, settings, batches[:2]) as reading:
        reading.take(batches[0])
        reading._fill()
        assert begun.wait(30)
        _, outcomes = reading.take(batches[1])
        go_on.set()
        assert sum(isinstance(each, Taken) for each in outcomes) == PER_BATCH
    assert read == ["00.jpg", *(f"{n:02}.jpg" for n in range(PER_BATCH, 2 * PER_BATCH))]


def test_whoever_stops_does_not_wait_for_what_was_queued(
    lake: Lake, settings: Settings, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, read = threading.Event(), []

    def slow(source: LocalSource, row: Row) -> bytes:
        read.append(row["path"])
        assert go_on.wait(30)
        return b""

    monkeypatch.setattr(LocalSource, "fetch", slow)
    monkeypatch.setattr(LocalSource, "readers", 1)
    with Reading(lake, settings, batches) as reading:
        reading.take(batches[0])
        reading._fill()
        threading.Timer(0.2, go_on.set).start()
    assert read == ["00.jpg"]


def test_files_are_handed_over_a_few_at_a_time_and_fewer_at_the_end(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(
        home=tmp_path / "home", landing={"settle_seconds": 0}, decode={"threads": 1}
    )
    for number in range(60):
        drop(settings.images_folder, f"{number:02}.jpg", encoded(texture(number, 8)))
    (batch,) = seal(lake, settings).batches
    with Reading(lake, settings, [batch]) as reading:
        _, outcomes = reading.take(batch)
        sizes = [asked.files for asked in reading._begun[0].waiting]
        taken = [each.row["path"] for each in outcomes]
    assert max(sizes) == 8 and sizes == sorted(sizes, reverse=True) and sizes[-1] == 1
    assert taken == [f"{number:02}.jpg" for number in range(60)]
    monkeypatch.setattr(ahead, "_CHUNK_BYTES", 1)  # large pictures are handed over one by one
    with Reading(lake, settings, [batch]) as reading:
        reading.take(batch)
        assert {asked.files for asked in reading._begun[0].waiting} == {1}

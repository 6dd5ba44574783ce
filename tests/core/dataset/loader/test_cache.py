"""Caches are faster ways to the same bytes, whatever happens to them."""

from __future__ import annotations

import logging
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

import numpy as np
import pytest
from support import golds
from support.s3 import S3Server

from boatseg_core.dataset import GoldDataset
from boatseg_core.dataset.loader import decoded, groups, pipeline, shelf
from boatseg_core.dataset.loader.decoded import Decoded
from boatseg_core.dataset.loader.shelf import Shelf
from boatseg_core.errors import InputError

OPTIONS: dict[str, Any] = {"size": 24, "batch_size": 4, "threads": 2}


def content(loader: Any) -> list[tuple[list[str], bytes, bytes]]:
    return [(b["image_id"].to_pylist(), b["image"].tobytes(), b["mask"].tobytes()) for b in loader]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


class Counted:
    """Counts the images decoded and the row groups fetched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded = self.fetched = self.opened = 0
        image_at, fetch = pipeline.image_at, groups.Groups._fetch
        open_group = groups.Groups.open

        def decoding(*arguments: Any) -> Any:
            self.decoded += 1
            return image_at(*arguments)

        def fetching(*arguments: Any) -> Any:
            self.fetched += 1
            return fetch(*arguments)

        def opening(*arguments: Any) -> Any:
            self.opened += 1
            return open_group(*arguments)

        monkeypatch.setattr(groups.Groups, "open", opening)
        monkeypatch.setattr(pipeline, "image_at", decoding)
        monkeypatch.setattr(groups.Groups, "_fetch", fetching)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


# Decoded images


@pytest.mark.parametrize("columns", [("image", "mask", "image_id"), ("mask", "image_id", "image")])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_later_epochs_are_bit_equal_and_decode_nothing(
    gold: GoldDataset, tmp_path: Path, counted: Counted, dtype: str, columns: tuple[str, ...]
) -> None:
    options = OPTIONS | {"dtype": dtype, "columns": columns}
    plain = gold.loader(**options)
    expected = [content(plain) for _ in range(2)]
    loader = gold.loader(**options, decoded=True, cache=tmp_path)
    assert content(loader) == expected[0]
    assert counted.opened
    counted.decoded = counted.opened = 0
    assert content(loader) == expected[1]
    again = gold.loader(**options, decoded=True, cache=tmp_path)  # as another process would
    assert content(again) == expected[0]
    assert (counted.decoded, counted.opened) == (0, 0)


def test_another_size_or_version_is_another_store(gold: GoldDataset, tmp_path: Path) -> None:
    options = OPTIONS | {"decoded": True, "cache": tmp_path}
    content(gold.loader(**options))
    content(gold.loader(**(options | {"size": 20})))
    assert "mask" not in next(iter(gold.loader(**options, columns=("image", "image_id"))))
    assert len(files(tmp_path / "decoded")) == 3
    rows = [row | {"image": golds.row(99)["image"]} for row in golds.mixed(75)]
    newer = golds.write(gold.lake, rows)
    assert content(newer.loader(**options)) == content(newer.loader(**OPTIONS))


@pytest.mark.parametrize("harm", ["flip", "cut", "index"])
def test_a_damaged_record_is_decoded_again(
    gold: GoldDataset, tmp_path: Path, counted: Counted, caplog: Any, harm: str
) -> None:
    options = OPTIONS | {"decoded": True, "cache": tmp_path}
    expected = content(gold.loader(**options))
    (store,) = files(tmp_path / "decoded")
    record = 24 * 24 * 4
    with (store / "pixels").open("r+b") as file:
        if harm == "flip":
            file.seek(7 * record + 100)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        elif harm == "cut":
            file.truncate(59 * record + 100)
    if harm == "index":
        (store / "index").write_bytes(bytes(3))
    counted.decoded = 0
    with caplog.at_level(logging.WARNING):
        assert content(gold.loader(**options)) == expected
    assert counted.decoded == (60 if harm == "index" else 1)
    assert harm == "index" or "is damaged: decoded again" in caplog.text
    counted.decoded = 0
    assert content(gold.loader(**options)) == expected
    assert counted.decoded == 0


def test_what_does_not_fit_is_decoded_each_time(
    gold: GoldDataset, tmp_path: Path, counted: Counted
) -> None:
    record = 24 * 24 * 4
    options = OPTIONS | {"decoded": True, "cache": tmp_path, "cache_bytes": 20 * record + 5}
    loader = gold.loader(**options)
    plain = gold.loader(**OPTIONS)
    for _ in range(3):
        assert content(loader) == content(plain)
    assert counted.decoded == 3 * 60 + 60 + 2 * 40
    (store,) = files(tmp_path / "decoded")
    assert (store / "pixels").stat().st_size <= 20 * record


def test_stores_nobody_has_open_make_room(tmp_path: Path) -> None:
    shapes = ((64, 64, 3), (64, 64))
    record = 64 * 64 * 4
    image, mask = np.ones(shapes[0], np.uint8), np.ones(shapes[1], np.uint8)

    def store(name: str) -> Decoded:
        opened = Decoded(tmp_path, {"name": name}, 10, shapes, 25 * record)
        for row in range(10):
            opened.write(row, image, mask)
        return opened

    for at, name in enumerate("ab"):
        opened = store(name)
        os.utime(opened.folder, (at, at))
        if name == "a":
            oldest = opened.folder
            opened.close()
        else:
            held = opened
    third = store("c")
    assert not oldest.exists()
    assert held.folder.exists() and third.folder.exists()
    fourth = store("d")  # all others are open: over the bound rather than broken
    assert held.there(10).all() and third.there(10).all() and fourth.there(10).all()


def test_a_full_disk_ends_the_keeping_not_the_epoch(
    gold: GoldDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    loader = gold.loader(**OPTIONS, decoded=True, cache=tmp_path)
    with caplog.at_level(logging.WARNING):
        assert content(loader) == content(gold.loader(**OPTIONS))
    assert caplog.text.count("can no longer be kept") <= 2  # a thread each


def refuse(*_: Any) -> Any:
    raise OSError(30, "Read-only file system")


@pytest.mark.parametrize("filled", [True, False])
def test_a_store_that_cannot_be_written_is_read(
    gold: GoldDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    counted: Counted,
    caplog: Any,
    filled: bool,
) -> None:
    options = OPTIONS | {"decoded": True, "cache": tmp_path}
    expected = content(gold.loader(**OPTIONS))
    if filled:
        assert content(gold.loader(**options)) == expected
        (store,) = files(tmp_path / "decoded")
        with (store / "pixels").open("r+b") as file:
            file.write(b"damaged")
    monkeypatch.setattr(decoded, "locked", refuse)
    counted.decoded = 0
    with caplog.at_level(logging.WARNING):
        assert content(gold.loader(**options)) == expected
    assert counted.decoded == (1 if filled else 60)
    assert caplog.text.count("Read-only file system") == 1
    assert ("is damaged" in caplog.text) is filled


# Row groups of a lake elsewhere


@pytest.fixture
def far(s3: S3Server) -> GoldDataset:
    return golds.write(golds.lake_in(s3), golds.mixed(30))


def test_row_groups_are_fetched_once(
    far: GoldDataset, gold: GoldDataset, tmp_path: Path, counted: Counted
) -> None:
    loader = far.loader(**OPTIONS, cache=tmp_path)
    first = content(loader)
    assert sum(len(names) for names, _, _ in first) == 24
    fetched = counted.fetched
    assert fetched == 6
    second = content(loader)
    other = content(far.loader(**OPTIONS, cache=tmp_path))
    assert counted.fetched == fetched
    assert other == first != second
    uncached = far.loader(**OPTIONS, cache=tmp_path / "no", cache_bytes=0)
    assert content(uncached) == first
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_file_is_fetched_again(
    far: GoldDataset, tmp_path: Path, counted: Counted, caplog: Any, harm: str
) -> None:
    first = content(far.loader(**OPTIONS, cache=tmp_path))
    path = files(tmp_path / "row-groups")[2]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-3]), "empty": b""}[harm])
    counted.fetched = 0
    with caplog.at_level(logging.WARNING):
        assert content(far.loader(**OPTIONS, cache=tmp_path)) == first
    assert counted.fetched == 1
    assert f"{path} is damaged" in caplog.text


def test_processes_share_what_one_of_them_fetched(far: GoldDataset, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    arguments = far.lake.root, far.lake.storage_options, str(cache), OPTIONS
    expected = golds.load_in_process(*arguments)
    for path in files(cache / "row-groups")[::2]:
        path.unlink()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(golds.load_in_process, *arguments) for _ in range(2)]
        assert [job.result(timeout=120) for job in jobs] == [expected] * 2
    assert len(files(cache / "row-groups")) == 6
    assert not [path for path in (cache / "row-groups").iterdir() if path.suffix == ".part"]


def test_processes_share_a_small_cache_that_somebody_harms(
    far: GoldDataset, tmp_path: Path
) -> None:
    """A bound of two row groups of six; files are cut, flipped and deleted, a process is killed."""
    cache = tmp_path / "cache"
    place = far.lake.root, far.lake.storage_options
    expected = golds.load_in_process(*place, str(tmp_path / "own"), OPTIONS)
    size = max(path.stat().st_size for path in files(tmp_path / "own" / "row-groups"))
    options = OPTIONS | {"cache_bytes": 2 * size + 10}
    context = multiprocessing.get_context("spawn")
    victim = context.Process(
        target=golds.load_for_ever, args=(*place, str(cache), options), daemon=True
    )
    victim.start()
    random, harmed, most = Random(0), 0, 0
    with ProcessPoolExecutor(2, context) as pool:
        jobs = [
            pool.submit(golds.load_in_process, *place, str(cache), options, epochs=8)
            for _ in range(2)
        ]
        while not all(job.done() for job in jobs):
            kept = files(cache / "row-groups") if (cache / "row-groups").exists() else []
            with suppress(FileNotFoundError):
                most = max(most, sum(path.stat().st_size for path in kept))
                path = random.choice(kept or [cache])
                data = bytearray(path.read_bytes()) if kept else bytearray()
                if len(data) > 40:
                    data[random.randrange(len(data))] ^= 1
                    path.with_name(".harm").write_bytes(data[: random.choice([30, len(data)])])
                    path.with_name(".harm").replace(path)
                    harmed += 1
            if harmed == 3 and victim.is_alive():
                victim.kill()
            sleep(0.01)
        assert [job.result(timeout=120) for job in jobs] == [expected] * 2
    victim.kill()
    victim.join()
    assert harmed > 3
    assert most <= options["cache_bytes"] + 3 * size  # one being put there by each process
    assert sum(path.stat().st_size for path in files(cache / "row-groups")) <= 2 * size + 10


def test_a_shelf_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    Shelf(tmp_path, 1000).get("a", lambda: memoryview(b"kept"))
    monkeypatch.setattr(shelf, "locked", refuse)
    other, fetched = Shelf(tmp_path, 1000), []

    def fetch() -> memoryview:
        fetched.append(1)
        return memoryview(b"new")

    with caplog.at_level(logging.WARNING):
        assert bytes(other.get("a", lambda: pytest.fail("it was there"))) == b"kept"
        for _ in range(2):
            assert bytes(other.get("b", fetch)) == b"new"
    assert len(fetched) == 2
    assert caplog.text.count("cannot be written: [Errno 30]") == 1


def test_the_shelf_keeps_its_bound_and_what_was_used_last(tmp_path: Path) -> None:
    small = Shelf(tmp_path, 3500)
    for at, name in enumerate("abc"):
        small.get(name, lambda: memoryview(bytes(1000)))
        os.utime(tmp_path / name, (at, at))
    small.get("a", lambda: pytest.fail("it was there"))
    small.get("d", lambda: memoryview(bytes(1000)))
    assert [path.name for path in files(tmp_path)] == ["a", "c", "d"]
    assert bytes(small.get("huge", lambda: memoryview(bytes(9000)))) == bytes(9000)
    assert [path.name for path in files(tmp_path)] == ["a", "c", "d"]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 10_000)
    dead, alive = tmp_path / ".x.999999999.part", tmp_path / f".y.{os.getpid()}.part"
    dead.touch()
    alive.touch()
    shelf.get("a", lambda: memoryview(b"1"))
    assert not dead.exists() and alive.exists()


def test_one_fetch_for_two_that_need_the_same(tmp_path: Path) -> None:
    from threading import Barrier, Thread

    fetched, gate = [], Barrier(4)

    def fetch() -> memoryview:
        fetched.append(1)
        return memoryview(b"data")

    def work() -> None:
        gate.wait()
        assert bytes(Shelf(tmp_path, 100).get("k", fetch)) == b"data"

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1


def test_a_cache_that_cannot_be_made_says_what_to_do(gold: GoldDataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be made .*BOATSEG_CACHE"):
        gold.loader(**OPTIONS, decoded=True, cache=tmp_path / "file" / "below")

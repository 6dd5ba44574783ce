"""Several ingestions at the same time, on one home and on S3: the rows are those of the files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from support.deliveries import check, deliver
from support.forks import Forks, forking
from support.homes import boatseg, lake_of, write_settings
from support.lakes import append_in_process, replace_in_process
from support.s3 import S3Server

from boatseg_core.lake import Lake


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forking() as server:
        yield server


def made(server: S3Server) -> str:
    """A bucket that exists: here it does with its first object."""
    import obstore

    bucket = server.bucket()
    obstore.put(server.store(bucket), "README", b"a lake")
    return bucket


def ingest_together(
    forks: Forks, home: Path, log: Path, processes: int, rounds: int
) -> dict[str, bytes]:
    """Let processes ingest at the same time while files keep arriving, then once alone."""
    rng = random.Random(processes)
    files: dict[str, bytes] = {}
    for number in range(rounds):
        for part in range(3):
            files |= deliver(home / "landing", number * 10 + part, rng)
        running = [
            forks.start("ingest", "--once", "--home", str(home), log=log) for _ in range(processes)
        ]
        assert [child.wait() for child in running] == [0] * processes, log.read_text()[-3000:]
    child = forks.start("ingest", "--once", "--home", str(home), log=log)
    assert child.wait() == 0, log.read_text()[-3000:]
    check(home, files)
    assert boatseg(home, "lake", "doctor", "--deep") == 0
    return files


@pytest.mark.parametrize("processes", [2, 4])
def test_ingesting_processes_on_one_home(tmp_path: Path, forks: Forks, processes: int) -> None:
    home = tmp_path / "home"
    write_settings(home, landing={"settle_seconds": 0}, seal={"max_files": 4})
    ingest_together(forks, home, tmp_path / "log", processes, rounds=3)


@pytest.mark.parametrize("processes", [2, 4])
def test_ingesting_processes_on_s3(
    tmp_path: Path, forks: Forks, processes: int, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    write_settings(home, landing={"settle_seconds": 0}, seal={"max_files": 4})
    with (home / "boatseg.toml").open("r+") as file:
        rest = file.read()
        file.seek(0)
        options = ", ".join(f'{k} = "{v}"' for k, v in s3.storage_options.items())
        uri = f"s3://{made(s3)}/lake"
        file.write(f'lake_uri = "{uri}"\nstorage_options = {{{options}}}\n{rest}')
    files = ingest_together(forks, home, tmp_path / "log", processes, rounds=1)
    if processes == 2:
        damage_and_repair(home, files)


def damage_and_repair(home: Path, files: dict[str, bytes]) -> None:
    """The doctor works on an object store as it does on a disk."""
    import obstore

    store = lake_of(home).files.store  # type: ignore[attr-defined]
    entries = sorted(entry.path for entry in lake_of(home).files.walk("raw_images/_delta_log"))
    obstore.put(store, entries[-1], bytes(obstore.get(store, entries[-1]).bytes())[:-20])
    for entry in list(lake_of(home).files.walk("gold_dataset/batch_id=" + batch_of(home))):
        obstore.delete(store, entry.path)
    assert boatseg(home, "lake", "doctor") == 3
    assert boatseg(home, "lake", "doctor", "--repair") == 0
    assert boatseg(home, "ingest", "--once") == 0
    check(home, files)
    assert boatseg(home, "lake", "doctor", "--deep") == 0
    for command in ("optimize", "checkpoint", "vacuum"):
        assert boatseg(home, "lake", command) == 0
    check(home, files)


def batch_of(home: Path) -> str:
    return min(lake_of(home).counts("gold_dataset"))


@pytest.mark.parametrize("where", ["here", "s3"])
def test_writers_racing_for_one_commit(
    tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    root, options = str(tmp_path / "lake"), dict[str, str]()
    if where == "s3":
        server: S3Server = request.getfixturevalue("s3")
        root, options = f"s3://{made(server)}/lake", server.storage_options
    lake = Lake(root, options)
    lake.create("raw_masks")
    lake.create("raw_images")
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        work = [
            pool.submit(append_in_process, root, options, "same", 8),
            pool.submit(append_in_process, root, options, "same", 8),
            pool.submit(replace_in_process, root, options, "w1", 4),
            pool.submit(replace_in_process, root, options, "w2", 4),
        ]
        for done in work:
            done.result(120)
    names = lake.read("raw_masks", ["image_id"])["image_id"]
    assert sorted(names) == sorted(f"same-{n}" for n in range(8))
    batches = {f"{w}-{n}": 3 for w in ("w1", "w2") for n in range(4)}
    assert lake.counts("raw_images") == batches
    assert lake.read("raw_images", ["image_id"]).height == 24

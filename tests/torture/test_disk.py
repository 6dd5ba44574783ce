"""A disk that is full, a file system that is read-only, and a loss of power."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from support.deliveries import check, deliver
from support.forks import Forks, forking
from support.homes import boatseg, contents, differences, fill, lake_of, write_settings

from boatseg_core.lake import Lake
from boatseg_core.lake.commit import active_files
from boatseg_core.lake.files_local import LocalFiles

_LACK = "NO SMALL DISK: mounting a tmpfs needs root, and this process may not"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forking() as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB, which is really full when it is full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip(_LACK)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip(f"{_LACK}: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def home_on(disk: Path, tmp_path: Path) -> Path:
    """A home whose lake alone is on the small disk."""
    home = tmp_path / "home"
    write_settings(home, landing={"settle_seconds": 0}, seal={"max_files": 4})
    with (home / "boatseg.toml").open("r+", encoding="utf-8") as file:
        rest = file.read()
        file.seek(0)
        file.write(f"lake_uri = {str(disk / 'lake')!r}\n{rest}")
    return home


def test_a_disk_that_fills_up_in_the_middle(small_disk: Path, tmp_path: Path, forks: Forks) -> None:
    home, rng, log = home_on(small_disk, tmp_path), random.Random(3), tmp_path / "log"
    ballast = small_disk / "ballast"
    files: dict[str, bytes] = {}
    failures = 0
    for number in range(12):
        files |= deliver(home / "landing", number, rng)
        # All but a little of the disk is taken: another amount each time, another write fails.
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(max(0, free - rng.randrange(0, 60_000))))
        status = forks.start("ingest", "--once", "--home", str(home), log=log).wait()
        assert status in (0, 1), log.read_text()[-3000:]
        failures += status
        ballast.unlink()
    assert failures >= 3, "the disk was never full where it mattered"
    text = log.read_text()
    assert "Traceback" not in text, text[-3000:]
    assert "No space left" in text or "os error 28" in text

    assert forks.start("ingest", "--once", "--home", str(home), log=log).wait() == 0
    check(home, files)
    assert boatseg(home, "lake", "doctor", "--deep", "--repair") == 0
    check(home, files)


def test_files_that_may_not_grow_leave_everything_as_it_was(tmp_path: Path, forks: Forks) -> None:
    """Works without root: the system refuses to let any file of the process grow further."""
    home, rng, log = tmp_path / "home", random.Random(4), tmp_path / "log"
    write_settings(home, landing={"settle_seconds": 0}, seal={"max_files": 4})
    files: dict[str, bytes] = {}
    failures = 0
    for number, size in enumerate((300, 2_500, 8_000, 15_000, 30_000)):
        files |= deliver(home / "landing", number, rng)
        arguments = ("ingest", "--once", "--home", str(home))
        limits = {"RLIMIT_FSIZE": size}
        failures += bool(forks.start(*arguments, log=tmp_path / "limited", limits=limits).wait())
    assert failures >= 2
    assert forks.start("ingest", "--once", "--home", str(home), log=log).wait() == 0
    check(home, files)
    assert boatseg(home, "lake", "doctor", "--deep") == 0


def test_a_read_only_disk_is_named_and_nothing_is_lost(
    small_disk: Path, tmp_path: Path, forks: Forks
) -> None:
    home, rng, log = home_on(small_disk, tmp_path), random.Random(5), tmp_path / "log"
    arguments = ("ingest", "--once", "--home", str(home))
    files = deliver(home / "landing", 0, rng)
    assert forks.start(*arguments, log=log).wait() == 0
    before = sorted(small_disk.rglob("*"))

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    more = deliver(home / "landing", 1, rng)
    assert forks.start(*arguments, log=log).wait() == 1
    message = log.read_text().splitlines()[-1]
    assert "Read-only file system" in log.read_text(), message
    assert "Traceback" not in log.read_text()
    assert sorted(small_disk.rglob("*")) == before
    check(home, files)  # reading goes on

    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert forks.start(*arguments, log=log).wait() == 0
    check(home, files | more)


class Recorder(LocalFiles):
    """Remembers what the disk was asked to keep, as a loss of power would find it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, durable=True)
        self.kept: dict[Path, bytes] = {}

    def _sync(self, path: Path) -> None:
        super()._sync(path)
        if path.is_file():
            self.kept[path] = path.read_bytes()


def test_after_a_loss_of_power_all_that_was_told_is_there(tmp_path: Path) -> None:
    """Whatever the disk was not asked to keep is gone; every commit that returned is there."""
    home = tmp_path / "home"
    fill(home, 12)
    settings_lake = lake_of(home)
    recorder = Recorder(Path(settings_lake.root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "files", recorder)
        assert boatseg(home, "ingest") == 0
    expected = contents(home)
    for file in sorted(Path(settings_lake.root).rglob("*")):
        if file.is_file() and recorder.kept.get(file) != file.read_bytes():
            file.write_bytes(b"")
    assert boatseg(home, "lake", "doctor", "--deep") == 0
    assert differences(expected, contents(home)) == []


@pytest.mark.parametrize("durable", [True, False])
def test_what_a_loss_of_power_takes_the_doctor_brings_back(tmp_path: Path, durable: bool) -> None:
    """The newest entry of every log is torn; without fsync the newest data files are empty, too."""
    home = tmp_path / "home"
    fill(home, 12)
    assert boatseg(home, "ingest") == 0
    expected = contents(home)
    lake = lake_of(home)
    for name in ("files", "raw_images", "image_quality", "rasterized_masks", "gold_dataset"):
        newest = active_files(lake.table(name)).sort("modification_time")["path"][-1]
        if durable:
            entries = sorted(Path(lake.uri(name), "_delta_log").glob("*.json"))
            entries[-1].write_bytes(b"")
        else:
            Path(lake.uri(name), newest).write_bytes(b"")
    assert boatseg(home, "lake", "doctor") == 3
    assert boatseg(home, "lake", "doctor", "--repair") in (0, 3)
    assert boatseg(home, "ingest") == 0
    assert boatseg(home, "lake", "doctor", "--deep") == 0
    found = contents(home)
    if not durable:
        # Images that both the ledger and raw_images lost are sealed anew, into another batch.
        columns = ["path", "image_id", "sha256", "split", "group_id", "reason", "passed", "mask"]
        expected, found = (without_batches(tables, columns) for tables in (expected, found))
    assert differences(expected, found) == []


def without_batches(tables: dict[str, pl.DataFrame], columns: list[str]) -> dict[str, pl.DataFrame]:
    """What the tables say of each image, whatever batch it is in."""
    chosen = {n: t.select(c for c in columns if c in t.columns) for n, t in tables.items()}
    return {n: t.sort(t.columns) for n, t in chosen.items() if t.columns}

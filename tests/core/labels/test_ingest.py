from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import InputError
from boatseg_core.labels import ingest
from boatseg_core.labels.files import discover
from boatseg_core.labels.ingest import load, new_files
from boatseg_core.labels.match import newest_labels
from boatseg_core.lake import Lake

HEADER = "ImageId,EncodedPixels\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    (home / "landing").mkdir(parents=True)
    return Settings(home=home, landing={"settle_seconds": 0})  # type: ignore[arg-type]


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.from_settings(settings)


def put(settings: Settings, name: str, text: str, *, mtime: float | None = None) -> Path:
    path = settings.paths.landing / name
    path.write_text(text)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


def raw(lake: Lake) -> list[tuple[object, ...]]:
    columns = ["image_id", "encoded_pixels", "source_file", "line", "label_version"]
    return sorted(lake.read("raw_masks", columns).iter_rows())


def test_rows_arrive_as_they_are(lake: Lake, settings: Settings) -> None:
    path = put(settings, "m.csv", HEADER + "a.jpg,\nb.jpg,1 2\nc.jpg\n")
    summary = load(lake, settings)
    assert (summary.rows, summary.images, summary.files) == (3, 3, [str(path)])
    assert (summary.skipped, summary.refused, summary.label_version) == (0, {}, 1)
    assert raw(lake) == [
        ("a.jpg", "", "m.csv", 2, 1),
        ("b.jpg", "1 2", "m.csv", 3, 1),
        ("c.jpg", None, "m.csv", 4, 1),
    ]
    ledger = lake.read("label_files").row(0, named=True)
    assert (ledger["path"], ledger["rows"], ledger["label_version"]) == ("landing/m.csv", 3, 1)


def test_nothing_is_read_twice(lake: Lake, settings: Settings) -> None:
    put(settings, "m.csv", HEADER + "a.jpg,1 2\n")
    assert len(new_files(lake, settings)) == 1
    load(lake, settings)
    before = (lake.version("raw_masks"), lake.version("label_files"))
    assert new_files(lake, settings) == []
    summary = load(lake, settings)
    assert (summary.rows, summary.files, summary.skipped, summary.label_version) == (0, [], 1, 1)
    assert (lake.version("raw_masks"), lake.version("label_files")) == before


def test_a_touched_file_is_hashed_once_and_not_read(lake: Lake, settings: Settings) -> None:
    path = put(settings, "m.csv", HEADER + "a.jpg,1 2\n", mtime=1000)
    load(lake, settings)
    os.utime(path, (2000, 2000))
    assert len(new_files(lake, settings)) == 1
    summary = load(lake, settings)
    assert (summary.rows, summary.skipped, summary.label_version) == (0, 1, 1)
    assert len(raw(lake)) == 1
    assert new_files(lake, settings) == []


def test_a_changed_file_is_a_new_version_and_so_is_its_way_back(
    lake: Lake, settings: Settings
) -> None:
    for mtime, cell in ((1000, "1 2"), (2000, "3 4"), (3000, "1 2")):
        put(settings, "m.csv", HEADER + f"a.jpg,{cell}\n", mtime=mtime)
        load(lake, settings)
    assert [(row[1], row[4]) for row in sorted(raw(lake), key=lambda row: row[4])] == [  # type: ignore[arg-type, return-value]
        ("1 2", 1),
        ("3 4", 2),
        ("1 2", 3),
    ]


def test_only_csv_files_directly_in_the_folder_oldest_first(settings: Settings) -> None:
    put(settings, "new.csv", HEADER, mtime=3000)
    put(settings, "old.CSV", HEADER, mtime=1000)
    put(settings, ".hidden.csv", HEADER)
    put(settings, "notes.txt", "x")
    (settings.paths.landing / "images").mkdir()
    put(settings, "images/deep.csv", HEADER)
    assert [file.path.name for file in discover(settings)] == ["old.CSV", "new.csv"]


def test_a_single_file_and_a_missing_one(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    path = tmp_path / "elsewhere.txt"
    path.write_text(HEADER + "a.jpg,1 2\n")
    single = settings.model_copy(
        update={"landing": settings.landing.model_copy(update={"labels": str(path)})}
    )
    assert [file.path for file in discover(single)] == [path]
    assert load(lake, single).rows == 1
    path.unlink()
    with pytest.raises(InputError, match=r"elsewhere\.txt does not exist: landing\.labels"):
        discover(single)


def test_no_landing_folder_is_no_labels(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "nowhere")
    lake = Lake.from_settings(settings)
    assert discover(settings) == []
    assert load(lake, settings).label_version == 0


def test_an_unusable_file_does_not_stop_the_others(lake: Lake, settings: Settings) -> None:
    put(settings, "weather.csv", "date,wind\n1,2\n", mtime=1000)
    put(settings, "broken.csv", HEADER + 'a.jpg,1 2\nb.jpg,"1 2\n', mtime=1500)
    put(settings, "m.csv", HEADER + "a.jpg,1 2\n", mtime=2000)
    names = ["weather.csv", "broken.csv", "m.csv"]
    assert [file.path.name for file in new_files(lake, settings)] == names
    summary = load(lake, settings)
    assert (summary.rows, len(summary.files)) == (1, 1)
    messages = {Path(path).name: message for path, message in summary.refused.items()}
    assert "no column ImageId" in messages["weather.csv"]
    assert "'date', 'wind'" in messages["weather.csv"]
    assert "line 3" in messages["broken.csv"]
    assert len(raw(lake)) == 1


def test_a_broken_file_is_not_asked_for_again_until_it_changes(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_PART_BYTES", 1)  # its first rows are written before it breaks
    put(settings, "m.csv", HEADER + "a.jpg,1 2\n", mtime=1000)
    path = put(settings, "broken.csv", HEADER + 'a.jpg,5 6\nb.jpg,"1 2\n', mtime=2000)
    for _ in range(2):
        assert list(load(lake, settings).refused) == [str(path)]
        assert new_files(lake, settings) == []
    put(settings, "broken.csv", HEADER + "a.jpg,5 6\nb.jpg,1 2\n", mtime=3000)
    assert [file.path for file in new_files(lake, settings)] == [path]
    assert load(lake, settings).rows == 2
    labels = newest_labels(lake).sort("label_id")
    versions = lake.read("label_files").filter(pl.col("rows") == 2)["label_version"].to_list()
    assert labels["label_version"].to_list() == versions * 2


def test_only_unusable_files_are_an_error(lake: Lake, settings: Settings) -> None:
    put(settings, "weather.csv", "date,wind\n1,2\n")
    with pytest.raises(InputError, match=r"weather\.csv has no column"):
        load(lake, settings)
    assert lake.read("label_files")["label_version"].to_list() == [0]
    assert lake.read("raw_masks").is_empty()
    (issue,) = lake.read("label_issues").iter_rows(named=True)
    assert (issue["source_file"], issue["reason"]) == ("weather.csv", "unusable_file")
    # It is not asked for again, until settings make sense of it or it is gone.
    assert new_files(lake, settings) == []
    columns = {"image_column": "date", "mask_column": "wind"}
    told = load_settings(home=settings.home, landing=settings.landing, labels=columns)
    assert [file.path.name for file in new_files(lake, told)] == ["weather.csv"]
    assert load(lake, told).rows == 1
    assert lake.read("label_issues").is_empty()


class Crash(Exception):
    pass


@pytest.mark.parametrize("parts_done", [0, 1, 2, 3])
def test_a_crash_between_any_two_commits_is_repaired(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, parts_done: int
) -> None:
    monkeypatch.setattr(ingest, "_PART_BYTES", 1)  # one row a part
    put(settings, "m.csv", HEADER + "a.jpg,1 2\nb.jpg,3 4\nc.jpg,5 6\n", mtime=2000)
    append = Lake.append
    commits = 0

    def crashing(self: Lake, *args: object, **kwargs: object) -> int | None:
        nonlocal commits
        if commits == parts_done:
            raise Crash
        commits += 1
        return append(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "append", crashing)
    with pytest.raises(Crash):
        load(lake, settings)
    assert lake.read("label_files").is_empty()
    monkeypatch.setattr(Lake, "append", append)
    # Another, older file arrives before the repair: it must not take the interrupted one's number.
    put(settings, "other.csv", HEADER + "z.jpg,7 8\n", mtime=1000)
    summary = load(lake, settings)
    assert summary.rows == 4
    rows = raw(lake)
    assert [row[0] for row in rows] == ["a.jpg", "b.jpg", "c.jpg", "z.jpg"]
    versions = {row[2]: row[4] for row in rows}
    assert versions["m.csv"] != versions["other.csv"]
    ledger = lake.read("label_files", ["path", "label_version", "rows"])
    assert {(Path(path).name, version, count) for path, version, count in ledger.iter_rows()} == {
        ("m.csv", versions["m.csv"], 3),
        ("other.csv", versions["other.csv"], 1),
    }
    assert new_files(lake, settings) == []


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_call(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(settings, "m.csv", HEADER + "a.jpg,1 2\n", mtime=1000)
    put(settings, "ok.csv", HEADER + "o.jpg,1 2\n", mtime=1500)
    hash_file = ingest._hash

    def meanwhile(hashed: Path) -> str:
        digest = hash_file(hashed)
        if hashed == path:
            put(settings, "m.csv", HEADER + "a.jpg,1 2\nb.jpg,3 4\n", mtime=2000)
        return digest

    monkeypatch.setattr(ingest, "_hash", meanwhile)
    assert "changed while" in load(lake, settings).refused[str(path)]
    monkeypatch.setattr(ingest, "_hash", hash_file)
    assert load(lake, settings).rows == 2
    ledger = lake.read("label_files").filter(pl.col("path") == "landing/m.csv")
    assert ledger["rows"].to_list() == [2]


def test_content_that_comes_back_after_an_interruption_is_in_force(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashing(*_: object, **__: object) -> None:
        raise Crash

    put(settings, "m.csv", HEADER + "a.jpg,1 2\n", mtime=1000)
    monkeypatch.setattr(ingest, "_record", crashing)
    with pytest.raises(Crash):
        load(lake, settings)
    monkeypatch.undo()
    for version, runs in [(2, "3 4"), (3, "1 2"), (4, "3 4")]:
        put(settings, "m.csv", HEADER + f"a.jpg,{runs}\n", mtime=1000 * version)
        assert load(lake, settings).label_version == version
        assert newest_labels(lake)["label_version"].to_list() == [version]
        in_force = lake.read("raw_masks").filter(pl.col("label_version") == version)
        assert in_force["encoded_pixels"].to_list() == [runs]


def test_a_young_file_is_waited_for(lake: Lake, settings: Settings) -> None:
    waiting = Settings(home=settings.home, landing={"settle_seconds": 0.3})  # type: ignore[arg-type]
    put(settings, "m.csv", HEADER + "a.jpg,1 2\n")
    started = time.time()
    assert load(lake, waiting).rows == 1
    assert 0.2 < time.time() - started < 5


LOADER = """
import sys, time
from boatseg_core.config import Settings, load_settings
from boatseg_core.labels.ingest import load
from boatseg_core.lake import Lake

settings = Settings(home=sys.argv[1], landing={"settle_seconds": 0})
time.sleep(max(0, float(sys.argv[2]) - time.time()))
load(Lake.from_settings(settings), settings)
"""


def test_two_processes_that_load_at_once_take_every_row_once(
    lake: Lake, settings: Settings
) -> None:
    put(settings, "m.csv", HEADER + "".join(f"{i}.jpg,1 2\n" for i in range(50)))
    command = [sys.executable, "-c", LOADER, str(settings.home), str(time.time() + 3)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    rows = raw(lake)
    assert len(rows) == len({row[0] for row in rows}) == 50
    assert lake.read("label_files").height == 1


def test_a_moved_home_reads_no_label_twice(lake: Lake, settings: Settings) -> None:
    put(settings, "m.csv", HEADER + "a.jpg,1 2\n")
    load(lake, settings)
    moved = settings.paths.root.rename(settings.paths.root.with_name("moved"))
    there = load_settings(home=moved, landing=settings.landing)

    assert new_files(Lake.from_settings(there), there) == []
    assert load(Lake.from_settings(there), there).rows == 0

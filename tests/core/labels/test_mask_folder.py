"""Many mask pictures, each taken once, whatever happens in between."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from PIL import Image
from support.labelled import put

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.labels import file_issues, mask_folder
from boatseg_core.labels.ingest import load, new_files
from boatseg_core.labels.match import newest_labels
from boatseg_core.lake import Lake


def mask(seed: int) -> bytes:
    array = np.zeros((8, 9), np.uint8)
    array[seed % 7 : seed % 7 + 2, seed % 5 : seed % 5 + 3] = 255
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def rows_in_force(lake: Lake) -> Counter[str]:
    """Rows that count, by image."""
    labels = newest_labels(lake)
    rows = lake.read("raw_masks", ["image_id", "label_version", "source_file"])
    by = ["label_version", "source_file"]
    return Counter(
        rows.join(labels, left_on=["image_id", *by], right_on=["label_id", *by], how="semi")[
            "image_id"
        ].to_list()
    )


def test_files_are_taken_many_at_a_time(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_folder, "_MOST_FILES", 4)
    for number in range(10):
        put(settings, f"masks/{number}.png", mask(number))
    summary = load(lake, settings)
    assert (summary.rows, summary.images, len(summary.files)) == (10, 10, 10)
    assert summary.label_version == 3
    ledger = lake.read("label_files")
    assert ledger["label_version"].value_counts().sort("label_version")["count"].to_list() == [
        4,
        4,
        2,
    ]
    assert set(ledger["kind"]) == {"mask"}
    assert new_files(lake, settings) == []
    assert load(lake, settings).skipped == 10


def test_a_changed_picture_supersedes_and_a_touched_one_does_not(
    lake: Lake, settings: Settings
) -> None:
    put(settings, "masks/a.png", mask(1), at=1000)
    put(settings, "masks/b.png", mask(2), at=1000)
    load(lake, settings)
    put(settings, "masks/a.png", mask(3), at=2000)
    put(settings, "masks/b.png", mask(2), at=2000)
    assert len(new_files(lake, settings)) == 2
    summary = load(lake, settings)
    assert (summary.rows, summary.files, summary.skipped) == (
        1, [str(settings.paths.landing / "masks/a.png")], 1,
    )  # fmt: skip
    assert new_files(lake, settings) == []
    versions = dict(newest_labels(lake).select("label_id", "label_version").iter_rows())
    assert versions == {"a": 2, "b": 1}
    assert lake.read("raw_masks").height == 3


def test_broken_pictures_are_told_once_and_again_when_asked(lake: Lake, settings: Settings) -> None:
    put(settings, "masks/good.png", mask(1))
    put(settings, "masks/bad.png", mask(1)[:40])
    summary = load(lake, settings)
    assert (summary.rows, len(summary.refused)) == (1, 1)
    assert new_files(lake, settings) == []
    (issue,) = file_issues.read(lake).iter_rows(named=True)
    assert (issue["source_file"], issue["reason"]) == ("masks/bad.png", "unusable_file")
    assert "bad.png is no PNG" in issue["message"]
    assert len(load(lake, settings).refused) == 1
    put(settings, "masks/bad.png", mask(2))
    assert load(lake, settings).rows == 1
    assert file_issues.read(lake).is_empty()
    put(settings, "masks/bad.png", b"x")
    load(lake, settings)
    (settings.paths.landing / "masks/bad.png").unlink()
    load(lake, settings)
    assert file_issues.read(lake).is_empty()


def test_only_broken_pictures_are_an_error(lake: Lake, settings: Settings) -> None:
    for number in range(5):
        put(settings, f"masks/{number}.png", b"x")
    with pytest.raises(InputError, match=r"0\.png is no PNG.* and 2 more files"):
        load(lake, settings)
    assert new_files(lake, settings) == []


def test_geojson_beside_the_pictures_is_taken_too(lake: Lake, settings: Settings) -> None:
    ring = [[1, 1], [5, 1], [5, 5]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {}}
    put(
        settings,
        "masks/sub/a.geojson",
        json.dumps({"type": "FeatureCollection", "features": [feature]}),
    )
    put(settings, "masks/sub/b.geojson", "{")
    summary = load(lake, settings)
    assert (summary.rows, len(summary.refused)) == (1, 1)
    assert newest_labels(lake).select("label_id", "by_stem").rows() == [("sub/a", True)]
    assert set(lake.read("label_files")["kind"]) == {"geojson", ""}


class Crash(Exception):
    pass


@pytest.mark.parametrize("commits_done", range(5))
@pytest.mark.parametrize("meanwhile", ["nothing", "one more", "one less", "one changed"])
def test_a_crash_between_any_two_commits_is_repaired(
    lake: Lake,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    commits_done: int,
    meanwhile: str,
) -> None:
    monkeypatch.setattr(mask_folder, "_MOST_FILES", 3)
    for number in range(6):
        put(settings, f"masks/{number}.png", mask(number), at=1000 + number)
    append, commits = Lake.append, 0

    def crashing(self: Lake, *args: object, **kwargs: object) -> int | None:
        nonlocal commits
        if commits == commits_done:
            raise Crash
        commits += 1
        return append(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "append", crashing)
    if commits_done < 4:
        with pytest.raises(Crash):
            load(lake, settings)
    else:
        load(lake, settings)
    monkeypatch.setattr(Lake, "append", append)
    expected = {str(number) for number in range(6)}
    if meanwhile == "one more":
        put(settings, "masks/more.png", mask(1), at=500)  # sorts first: the parts are others now
        expected.add("more")
    elif meanwhile == "one less":
        (settings.paths.landing / "masks/1.png").unlink()
        if commits_done < 2:
            expected.remove("1")
    elif meanwhile == "one changed":
        put(settings, "masks/1.png", mask(4), at=3000)
    load(lake, settings)
    assert rows_in_force(lake) == dict.fromkeys(expected, 1)
    assert new_files(lake, settings) == []
    # In the whole history, no content of a file is there twice.
    rows = lake.read("raw_masks", ["source_file", "sha256"])
    assert rows.height == rows.unique().height
    before = lake.version("raw_masks"), lake.version("label_files")
    load(lake, settings)
    assert (lake.version("raw_masks"), lake.version("label_files")) == before
    ledger = lake.read("label_files").filter(pl.col("rows") > 0)
    assert ledger.height == ledger.select("path", "sha256").unique().height


def test_a_picture_that_comes_back_after_an_interruption_is_in_force(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashing(*_: object, **__: object) -> None:
        raise Crash

    put(settings, "masks/a.png", mask(1), at=1000)
    monkeypatch.setattr(mask_folder, "_record", crashing)
    with pytest.raises(Crash):
        load(lake, settings)
    monkeypatch.undo()
    for version, seed in [(2, 2), (3, 1), (4, 2)]:
        put(settings, "masks/a.png", mask(seed), at=1000 * version)
        assert load(lake, settings).label_version == version
        assert newest_labels(lake)["label_version"].to_list() == [version]


def test_a_picture_that_changes_while_it_is_read_waits(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(settings, "masks/a.png", mask(1), at=1000)
    put(settings, "masks/b.png", mask(1), at=1000)
    digest = mask_folder.digest

    def meanwhile(hashed: object) -> str:
        found = digest(hashed)  # type: ignore[arg-type]
        if hashed == path:
            put(settings, "masks/a.png", mask(2), at=2000)
        return found

    monkeypatch.setattr(mask_folder, "digest", meanwhile)
    assert "changed while" in load(lake, settings).refused[str(path)]
    monkeypatch.setattr(mask_folder, "digest", digest)
    assert load(lake, settings).rows == 1
    assert rows_in_force(lake) == {"a": 1, "b": 1}


LOADER = """
import sys, time
from boatseg_core.config import Settings
from boatseg_core.labels import mask_folder
from boatseg_core.labels.ingest import load
from boatseg_core.lake import Lake

mask_folder._MOST_FILES = int(sys.argv[3])
settings = Settings(home=sys.argv[1], landing={"settle_seconds": 0})
time.sleep(max(0, float(sys.argv[2]) - time.time()))
load(Lake.from_settings(settings), settings)
"""


def test_processes_that_load_at_once_take_every_picture_once(
    lake: Lake, settings: Settings
) -> None:
    for number in range(40):
        put(settings, f"masks/{number}.png", mask(number))
    start = str(time.time() + 3)
    processes = [
        subprocess.Popen([sys.executable, "-c", LOADER, str(settings.home), start, str(most)])
        for most in (7, 10)
    ]
    assert [process.wait(90) for process in processes] == [0, 0]
    assert rows_in_force(lake) == {str(number): 1 for number in range(40)}
    assert lake.read("raw_masks").height == 40
    assert lake.read("label_files").height == 40


def test_young_pictures_are_waited_for(lake: Lake, settings: Settings) -> None:
    waiting = Settings(home=settings.home, landing={"settle_seconds": 0.3})  # type: ignore[arg-type]
    put(settings, "masks/a.png", mask(1))
    put(settings, "masks/old.png", mask(1), at=1000)
    started = time.time()
    assert load(lake, waiting).rows == 2
    assert time.time() - started > 0.2


def test_settings_that_lead_nowhere(lake: Lake, settings: Settings) -> None:
    lost = Settings(home=settings.home, landing={"masks": "/nowhere/at/all"})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"landing\.masks names a folder"):
        load(lake, lost)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_linked_pictures_are_pictures(
    lake: Lake, settings: Settings, link: Callable[[str, str], None]
) -> None:
    path = put(settings, "elsewhere/a.png", mask(1))
    (settings.paths.landing / "masks").mkdir()
    link(str(path), str(settings.paths.landing / "masks/b.png"))
    assert load(lake, settings).rows == 1

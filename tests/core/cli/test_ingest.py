from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.pictures import drop, encoded, texture

from boatseg_core.cli.ingest_steps import STEPS
from boatseg_core.config import load_settings
from boatseg_core.dataset import gate
from boatseg_core.dataset.staleness import outdated_batches
from boatseg_core.errors import LakeError, LakeUnusable
from boatseg_core.ingest.completeness import Completeness
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake
from boatseg_core.synth import DatasetSummary


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """A home of the test's own, not ingested yet."""
    shutil.copytree(home / "landing", tmp_path / "home" / "landing")
    return tmp_path / "home"


def lake_of(home: Path) -> Lake:
    return Lake.from_settings(load_settings(home=home))


def test_the_summary_agrees_with_the_tables(made: tuple[Path, DatasetSummary]) -> None:
    home, summary = made
    text = (home / "ingest.txt").read_text()
    lake = lake_of(home)
    files = summary.images + 5
    assert f"{files} new, 0 known, 0 unsettled" in text
    assert lake.read("raw_images").height == files - 3
    assert f"{files - 3} read" in text and "3 quarantined" in text
    gold = lake.read("gold_dataset")
    assert f"{gold.height} rows, {gold['boat_count'].sum()} boats" in text
    for row in lake.read("quarantine").iter_rows(named=True):
        assert row["path"] in text
        assert row["reason"] in text
    # Faulty rows are named by file and line, and so is the label without an image.
    for row in lake.read("label_issues").iter_rows(named=True):
        assert f"{row['source_file']}, line {row['line']}: {row['image_id']}" in text
    ghost = next(name for name, kind in summary.faults if kind == "missing_image")
    assert "labels of images that never came" in text and ghost in text


def test_a_second_run_takes_nothing(boatseg, copy: Path) -> None:
    assert boatseg("ingest").exit_code == 0
    versions = {name: lake_of(copy).version(name) for name in ("files", "raw_images", "raw_masks")}
    again = boatseg("ingest")
    assert "0 new, 17 known" in again.stdout
    assert "nothing to do" in again.stderr
    assert versions == {name: lake_of(copy).version(name) for name in versions}


def test_an_interrupted_run_is_taken_up(
    boatseg, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(STEPS, "joining gold", interrupted)
        assert boatseg("ingest").exit_code == 130
    assert not lake_of(copy).exists("gold_dataset")
    result = boatseg("ingest")
    assert result.exit_code == 0
    assert "1 built, 0 of them new" in result.stdout
    assert lake_of(copy).read("gold_dataset").height
    assert outdated_batches(lake_of(copy), load_settings(home=copy)) == {}


def test_new_labels_reach_batches_that_are_there(boatseg, copy: Path) -> None:
    labels = next((copy / "landing").glob("*.csv"))
    kept = labels.read_text()
    labels.unlink()
    assert "0 rows, 0 boats" in boatseg("ingest").stdout
    labels.write_text(kept)
    assert "1 built, 0 of them new" in boatseg("ingest").stdout
    gold = lake_of(copy).read("gold_dataset")
    assert gold["boat_count"].sum() > 0
    assert gold["image_id"].is_unique().all()


def test_labels_that_cannot_be_used_do_not_stop_the_images(boatseg, copy: Path) -> None:
    labels = next((copy / "landing").glob("*.csv"))
    labels.write_text("picture,runs\n")
    result = boatseg("ingest")
    assert result.exit_code == 2
    assert "no column ImageId" in result.stderr
    assert str(labels) in result.stderr
    assert lake_of(copy).read("raw_images").height == 14


def test_fresh_files_are_waited_for_unless_once(
    boatseg, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOATSEG_LANDING__SETTLE_SECONDS", "1")
    for path in (copy / "landing" / "images").iterdir():
        path.touch()
    once = boatseg("ingest", "--once")
    assert "0 new, 0 known, 17 unsettled" in once.stdout
    assert "run boatseg ingest again" in once.stderr
    assert "17 new, 0 known, 0 unsettled" in boatseg("ingest").stdout
    assert lake_of(copy).read("files").select(pl.col("path").n_unique()).item() == 17


def test_a_missing_images_folder(boatseg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "there are no images in" in boatseg("ingest").stderr
    monkeypatch.setenv("BOATSEG_LANDING__IMAGES", str(tmp_path / "gone"))
    result = boatseg("ingest")
    assert result.exit_code == 2
    assert str(tmp_path / "gone") in result.stderr


def test_a_broken_batch_stays_out_of_gold_until_it_was_put_right(
    boatseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOATSEG_SEAL__MAX_FILES", "32")
    images = tmp_path / "home" / "landing" / "images"
    for number in range(20):
        drop(images, f"a-bad-{number:02}.jpg", b"no picture")
    for number in range(12):
        drop(images, f"a-{number:02}.jpg", encoded(texture(number)))
    drop(images, "b.jpg", encoded(texture(99)))
    names = [f"a-{number:02}.jpg" for number in range(12)] + ["b.jpg"]
    lines = "".join(f"{name},1 2\n" for name in names)
    (images.parent / "labels.csv").write_text("ImageId,EncodedPixels\n" + lines)

    result = boatseg("ingest")

    lake = lake_of(tmp_path / "home")
    broken, sound = sorted(lake.counts("raw_images"))
    assert result.exit_code == 1
    assert (
        f"batch {broken} is broken and was not joined to gold: 62.5% of 32 files" in result.stderr
    )
    assert "quality.broken_pass_rate" in result.stderr and "Traceback" not in result.stderr
    assert lake.counts("gold_dataset") == {sound: 1}  # the others go on
    assert boatseg("ingest").exit_code == 1  # it is not forgotten
    assert lake.counts("gold_dataset") == {sound: 1}
    monkeypatch.setenv("BOATSEG_QUALITY__BROKEN_PASS_RATE", "0.2")
    assert boatseg("ingest").exit_code == 0
    assert lake.counts("gold_dataset") == {broken: 12, sound: 1}
    # What is in gold stays there as it is when the batch turns out to be broken.
    monkeypatch.delenv("BOATSEG_QUALITY__BROKEN_PASS_RATE")
    monkeypatch.setenv("BOATSEG_QUALITY__MIN_WIDTH", "1000")
    judged = boatseg("requalify")
    assert judged.exit_code == 1 and f"batch {broken} is broken" in judged.stderr
    assert lake.counts("gold_dataset") == {broken: 12}


def test_files_without_rows_keep_a_batch_out_of_gold(
    boatseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "home" / "landing" / "images"
    for name in ("a.jpg", "b.jpg"):
        drop(images, name, encoded(texture(1 if name == "a.jpg" else 2)))
    monkeypatch.setattr(gate, "completeness", lambda *_: Completeness(2, 1, 0, ["b.jpg"], [], []))
    result = boatseg("ingest")
    assert result.exit_code == 1
    assert "b.jpg: neither in raw_images nor in quarantine; run `boatseg ingest`" in result.stderr
    assert lake_of(tmp_path / "home").count("gold_dataset") == 0


def fill_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Seal a batch of a folder that then goes away; another folder is the landing folder now."""
    away, here = tmp_path / "usb", tmp_path / "here"
    monkeypatch.setenv("BOATSEG_SEAL__MAX_FILES", "2")
    for number, folder in enumerate((away, away, here, here, here)):
        drop(folder, f"{number}.jpg", encoded(texture(number)))
    lake = lake_of(tmp_path / "home")
    for folder in (away, here):
        settings = load_settings(home=tmp_path / "home", landing={"images": str(folder)})
        seal(lake, settings)
    monkeypatch.setenv("BOATSEG_LANDING__IMAGES", str(here))
    return away, here


def test_a_folder_that_is_gone_stops_its_own_batches_only(
    boatseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, _ = fill_two_folders(tmp_path, monkeypatch)
    away.rename(tmp_path / "unplugged")
    first, *others = sorted(lake_of(tmp_path / "home").read("files")["batch_id"].unique())

    result = boatseg("ingest")

    assert result.exit_code == 2
    assert f"{first}  the images folder {away} cannot be read" in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: 1 batch could not be built") and str(away) in last
    assert lake_of(tmp_path / "home").counts("raw_images") == {others[0]: 2, others[1]: 1}
    assert "2 built" in result.stdout
    (tmp_path / "unplugged").rename(away)
    assert boatseg("ingest").exit_code == 0
    assert lake_of(tmp_path / "home").count("raw_images") == 5


def test_a_landing_folder_that_is_gone_does_not_stop_what_was_sealed_elsewhere(
    boatseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, here = fill_two_folders(tmp_path, monkeypatch)
    here.rename(tmp_path / "unplugged")
    result = boatseg("ingest")
    assert result.exit_code == 2
    assert str(here) in result.stderr and "2 batches could not be built" in result.stderr
    assert "Traceback" not in result.stderr and "no images in" not in result.stderr
    assert "could not be listed" in result.stdout
    assert lake_of(tmp_path / "home").count("raw_images") == 2


def test_damage_of_one_batch_stops_no_other(
    boatseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_two_folders(tmp_path, monkeypatch)
    replace = Lake.replace_batch
    first = min(lake_of(tmp_path / "home").read("files")["batch_id"])

    def damaged(self: Lake, name: str, batch: str, data: Any, **options: Any) -> int:
        if batch == first:
            raise LakeError("a data file of the batch is damaged")
        return replace(self, name, batch, data, **options)

    monkeypatch.setattr(Lake, "replace_batch", damaged)
    result = boatseg("ingest")
    assert result.exit_code == 1
    assert f"{first}: a data file of the batch is damaged" in result.stderr.splitlines()[-1]
    assert first not in lake_of(tmp_path / "home").counts("raw_images")
    assert len(lake_of(tmp_path / "home").counts("raw_images")) == 2


def test_a_lake_that_cannot_be_written_stops_everything_at_once(
    boatseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_two_folders(tmp_path, monkeypatch)
    tried: list[str] = []

    def full(self: Lake, name: str, batch: str, data: object, **_: object) -> int:
        tried.append(batch)
        raise LakeUnusable("the disk is full")

    monkeypatch.setattr(Lake, "replace_batch", full)
    result = boatseg("ingest")
    assert result.exit_code == 1 and len(tried) == 1
    assert result.stderr.splitlines()[-1] == "error: the disk is full"

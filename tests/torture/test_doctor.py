"""Damage a real lake in every way, let the doctor repair it, ingest, and compare every row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.homes import boatseg, contents, differences, fill, lake_of

from boatseg_core.lake.commit import active_files, checkpoint
from boatseg_core.lake.log import list_log

Damage = Callable[[Path, str], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undamaged home of three batches, never written to again."""
    home = tmp_path_factory.mktemp("whole") / "home"
    fill(home, 20)
    assert boatseg(home, "ingest") == 0
    assert boatseg(home, "lake", "doctor", "--deep") == 0
    return home


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(whole, tmp_path / "home"))


def newest_entry(home: Path, table: str) -> Path:
    return sorted((home / "lake" / table / "_delta_log").glob("*.json"))[-1]


def a_data_file(home: Path, table: str) -> Path:
    files = active_files(lake_of(home).table(table)).sort("path")
    return home / "lake" / table / str(files["path"][0])


def with_checkpoint(home: Path, table: str) -> Path:
    lake = lake_of(home)
    checkpoint(lake.files, table, lambda: lake.table(table))
    (file,) = (home / "lake" / table / "_delta_log").glob("*.checkpoint.parquet")
    return file


def flip(file: Path) -> None:
    """Turn one bit in the middle of the first column's first page."""
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0x10
    file.write_bytes(data)


def empty_commit(home: Path, table: str) -> None:
    newest_entry(home, table).write_bytes(b"")


def truncated_commit(home: Path, table: str) -> None:
    file = newest_entry(home, table)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


def zeroed_commit(home: Path, table: str) -> None:
    """What some file systems leave after a loss of power: the right length, and zeroes."""
    file = newest_entry(home, table)
    file.write_bytes(bytes(file.stat().st_size))


def missing_file(home: Path, table: str) -> None:
    a_data_file(home, table).unlink()


def empty_file(home: Path, table: str) -> None:
    a_data_file(home, table).write_bytes(b"")


def truncated_file(home: Path, table: str) -> None:
    file = a_data_file(home, table)
    file.write_bytes(file.read_bytes()[:-10])


def broken_footer(home: Path, table: str) -> None:
    file = a_data_file(home, table)
    file.write_bytes(file.read_bytes()[:-20] + b"x" * 20)


def broken_checkpoint(home: Path, table: str) -> None:
    file = with_checkpoint(home, table)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty_checkpoint(home: Path, table: str) -> None:
    with_checkpoint(home, table).write_bytes(b"")


def broken_pointer(home: Path, table: str) -> None:
    with_checkpoint(home, table).with_name("_last_checkpoint").write_bytes(b"\x00\x00")


def dangling_pointer(home: Path, table: str) -> None:
    with_checkpoint(home, table).unlink()


DERIVED = ("image_quality", "rasterized_masks", "image_groups", "gold_dataset")
SAFE: list[tuple[Damage, str]] = [
    *((damage, table) for damage in (empty_commit, missing_file) for table in DERIVED),
    *(
        (damage, table)
        for table in ("files", "raw_images", "quarantine")
        for damage in (empty_commit, truncated_commit, missing_file, empty_file)
    ),
    (zeroed_commit, "raw_images"),
    (truncated_file, "raw_images"),
    (broken_footer, "gold_dataset"),
    (empty_commit, "label_files"),
    (missing_file, "label_files"),
    *(
        (damage, "raw_images")
        for damage in (broken_checkpoint, empty_checkpoint, broken_pointer, dangling_pointer)
    ),
]


def findings(capsys: pytest.CaptureFixture[str], home: Path, *options: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = boatseg(home, "lake", "doctor", "--json", *options)
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("damage", "table"), SAFE, ids=[f"{damage.__name__}-{table}" for damage, table in SAFE]
)
def test_damage_is_found_repaired_and_everything_comes_back(
    whole: Path, home: Path, damage: Damage, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(home, table)

    code, report = findings(capsys, home)
    found = [finding for finding in report["findings"] if finding["table"] == table]
    assert found, report
    assert all(f["what"] and f["consequence"] and f["advice"] for f in report["findings"])
    assert code == (3 if any(f["serious"] for f in report["findings"]) else 0)

    code, report = findings(capsys, home, "--repair")
    assert report["repaired"]
    left = [f for f in report["findings"] if f["serious"] and f["remedy"] != "run"]
    assert not left, left
    # whatever was taken away is still there
    for repaired in report["repaired"]:
        for path in repaired["aside"]:
            assert (home / "lake" / path).exists()

    assert boatseg(home, "ingest") == 0
    code, report = findings(capsys, home, "--deep")
    assert code == 0, report
    assert differences(contents(whole), contents(home)) == []


@pytest.mark.parametrize("table", ["raw_images", "gold_dataset", "files"])
def test_a_flipped_bit_is_found_by_a_deep_look_alone(
    whole: Path, home: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(a_data_file(home, table))
    assert findings(capsys, home)[0] == 0
    code, report = findings(capsys, home, "--deep")
    assert code == 3
    assert [f["kind"] for f in report["findings"]] == ["corrupt_file"]

    findings(capsys, home, "--deep", "--repair")
    assert boatseg(home, "ingest") == 0
    assert findings(capsys, home, "--deep")[0] == 0
    assert differences(contents(whole), contents(home)) == []


@pytest.mark.parametrize("table", ["files", "raw_images", "image_groups"])
@pytest.mark.parametrize("how", ["gap", "torn"])
def test_a_log_broken_in_the_middle_is_rewound_only_when_that_is_asked_for(
    whole: Path, home: Path, table: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(home, 6, seed=1)  # the ledger gets a second commit
    (home / "landing" / "labels-1.csv").unlink()
    assert boatseg(home, "ingest") == 0
    expected = contents(home)
    entries = sorted((home / "lake" / table / "_delta_log").glob("*.json"))
    middle = entries[len(entries) // 2]
    middle.unlink() if how == "gap" else middle.write_bytes(middle.read_bytes()[:-30])

    before = sorted((home / "lake").rglob("*"))
    code, report = findings(capsys, home, "--repair")
    assert code == 3
    assert [f["remedy"] for f in report["findings"]] == ["rewind"]
    assert sorted((home / "lake").rglob("*")) == before, "a safe repair leaves it alone"

    findings(capsys, home, "--rewind")
    assert boatseg(home, "ingest") == 0
    code, report = findings(capsys, home, "--deep")
    assert code == 0, report
    assert differences(expected, contents(home)) == []


def test_nothing_is_built_upon_an_empty_version(
    whole: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """delta-rs would, as if it had changed nothing."""
    empty_commit(home, "raw_images")
    fill(home, 2, seed=1)
    assert boatseg(home, "ingest") == 1
    assert "doctor --repair" in capsys.readouterr().err
    assert newest_entry(home, "raw_images").stat().st_size == 0


@pytest.mark.parametrize("table", ["files", "raw_images", "gold_dataset"])
def test_an_empty_version_that_others_built_upon_is_filled_and_its_rows_come_back(
    whole: Path, home: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(home, 6, seed=1)
    (home / "landing" / "labels-1.csv").unlink()
    assert boatseg(home, "ingest") == 0
    expected = contents(home)
    sorted((home / "lake" / table / "_delta_log").glob("*.json"))[1].write_bytes(b"")

    _, report = findings(capsys, home, "--repair")
    assert report["repaired"][0]["kind"] == "torn_commit"
    assert boatseg(home, "ingest") == 0
    code, report = findings(capsys, home, "--deep")
    assert code == 0, report
    assert differences(expected, contents(home)) == []


def test_an_empty_version_whose_files_were_replaced_later_is_not_passed_over(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = lake_of(home)
    batch = min(lake.counts("gold_dataset"))
    rows = lake.scan("gold_dataset").filter(batch_id=batch).collect()
    lake.replace_batch("gold_dataset", batch, rows)
    lake.replace_batch("gold_dataset", batch, rows)
    newest = newest_entry(home, "gold_dataset")
    before = newest.with_name(f"{int(newest.stem) - 1:020d}.json")
    before.write_bytes(b"")
    # the first file is back, beside the third
    assert lake_of(home).counts("gold_dataset")[batch] == 2 * rows.height
    code, report = findings(capsys, home)
    assert code == 3
    assert [f["remedy"] for f in report["findings"]] == ["rewind"]
    findings(capsys, home, "--rewind")
    assert boatseg(home, "ingest") == 0
    assert lake_of(home).counts("gold_dataset")[batch] == rows.height


def test_a_table_that_cannot_be_read_ends_in_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing_file(home, "gold_dataset")
    assert boatseg(home, "status") == 1
    assert "boatseg lake doctor" in capsys.readouterr().err
    truncated_commit(home, "gold_dataset")
    assert boatseg(home, "status") == 1
    assert "boatseg lake doctor" in capsys.readouterr().err


def test_rows_that_fell_out_of_the_ledger_are_not_sealed_again(
    whole: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing_file(home, "files")
    # meanwhile one file was deleted and one was overwritten
    images = sorted((home / "landing" / "images").glob("s0-*.jpg"))
    images[0].unlink()
    images[1].write_bytes(images[3].read_bytes())
    findings(capsys, home, "--repair")

    ledger = lake_of(home).read("files")
    assert sorted(ledger["path"]) == sorted(contents(whole)["files"]["path"])
    assert ledger.filter(path=images[0].name)["mtime_ns"].item() == 0

    assert boatseg(home, "ingest") == 0
    lake = lake_of(home)
    rows = lake.read("raw_images", ["path", "sha256"])
    # the deleted one is kept, the overwritten one has both its contents, nothing is doubled
    assert rows.height == contents(whole)["raw_images"].height + 1
    assert rows.filter(path=images[0].name).height == 1
    assert rows.filter(path=images[1].name)["sha256"].n_unique() == 2


def test_labels_that_lost_their_rows_say_what_to_do(
    whole: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing_file(home, "raw_masks")
    findings(capsys, home, "--repair")
    code, report = findings(capsys, home)
    assert code == 3
    (finding,) = (f for f in report["findings"] if f["kind"] == "labels_without_rows")
    assert "Copy the label file to a new name" in finding["advice"]
    shutil.copy(home / "landing" / "labels-0.csv", home / "landing" / "again.csv")
    assert boatseg(home, "ingest") == 0
    same = contents(whole, ["gold_dataset"])["gold_dataset"].drop("label_version")
    assert contents(home, ["gold_dataset"])["gold_dataset"].drop("label_version").equals(same)


def test_every_file_gone_is_taken_for_a_disk_that_is_not_there(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (home / "lake" / "raw_images").glob("batch_id=*/*.parquet"):
        file.rename(home / file.name)
    before = newest_entry(home, "raw_images")
    code, report = findings(capsys, home, "--repair")
    assert code == 3
    assert {f["remedy"] for f in report["findings"] if f["table"] == "raw_images"} == {"hand"}
    assert newest_entry(home, "raw_images") == before


def test_what_interrupted_writers_leave_is_no_damage(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = home / "lake"
    (lake / "raw_images" / "part-00000-killed.parquet").write_bytes(b"PAR1 half")
    code, report = findings(capsys, home)
    assert code == 0
    assert [f["kind"] for f in report["findings"]] == ["orphan_files"]
    findings(capsys, home, "--repair")
    assert (lake / "raw_images" / "part-00000-killed.parquet").exists(), "it is not a day old"


def test_an_old_torn_entry_behind_a_checkpoint_needs_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_checkpoint(home, "raw_images")
    log = list_log(lake_of(home).files, "raw_images")
    (home / "lake" / log.entries[1].path).write_bytes(b"")
    code, report = findings(capsys, home)
    assert (code, [f["kind"] for f in report["findings"]]) == (0, ["old_damage"])


def test_a_checkpoint_that_cannot_be_replaced_is_left_to_a_person(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = with_checkpoint(home, "raw_images")
    lake = lake_of(home)
    version = lake.version("raw_images")
    log = list_log(lake.files, "raw_images")
    for entry in log.entries.values():
        (home / "lake" / entry.path).unlink()
    file.write_bytes(b"")
    code, report = findings(capsys, home, "--repair")
    assert code == 3
    (finding,) = report["findings"]
    assert (finding["remedy"], finding["version"]) == ("hand", version)
    assert "from a backup" in finding["advice"]
    assert file.exists()

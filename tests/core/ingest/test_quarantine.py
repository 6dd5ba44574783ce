"""Refused files: found, tried again, and copied out under names that do no harm."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.batches import build, changed
from support.pictures import drop, encoded, texture
from support.s3 import S3Server

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import InputError
from boatseg_core.ingest.completeness import completeness
from boatseg_core.ingest.duplicates import duplicates, stale_duplicates
from boatseg_core.ingest.export import export, safe_name
from boatseg_core.ingest.quarantine import refused, retry
from boatseg_core.lake import Lake

BIG = encoded(texture(9, 600, 600), "PNG")


def careful(settings: Settings) -> Settings:
    return changed(settings, "decode", max_pixels=100_000)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def batch(lake: Lake, settings: Settings) -> str:
    """Two good images, a large one, an empty and a cut file, refused with a small bound."""
    whole = encoded(np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8))
    for name, data in {
        "good.jpg": encoded(texture(1)),
        "sub/good.jpg": encoded(texture(2)),
        "sub/big.png": BIG,
        "empty.jpg": b"",
        "cut [1].jpg": whole[: len(whole) // 2],
    }.items():
        drop(settings.images_folder, name, data)
    (batch,) = build(lake, careful(settings))
    return batch


def test_refused_files_are_found_by_reason_batch_and_path(
    lake: Lake, settings: Settings, batch: str
) -> None:
    def paths(**chosen: object) -> list[str]:
        return refused(lake, **chosen)["path"].to_list()  # type: ignore[arg-type]

    assert paths() == ["cut [1].jpg", "empty.jpg", "sub/big.png"]
    assert paths(reasons=["too_many_pixels", "empty"]) == ["empty.jpg", "sub/big.png"]
    assert paths(batches=["nothing"]) == []
    assert paths(paths=["sub/*"]) == ["sub/big.png"]
    assert paths(paths=["cut [1].jpg"]) == ["cut [1].jpg"]  # literally, brackets and all
    assert paths(paths=["*.jpg"], reasons=["empty"]) == ["empty.jpg"]


def test_a_raised_bound_lets_a_refused_file_in(lake: Lake, settings: Settings, batch: str) -> None:
    done = retry(lake, settings, refused(lake))

    assert [(e.path, e.reason_before, e.reason, e.read) for e in done] == [
        ("cut [1].jpg", "truncated", "truncated", True),
        ("empty.jpg", "empty", "empty", True),
        ("sub/big.png", "too_many_pixels", None, True),
    ]
    found = completeness(lake, batch)
    assert (found.sealed, found.images, found.refused, found.problems) == (5, 3, 2, [])
    images = lake.read("raw_images", ["path", "image"])
    assert images.filter(images["path"] == "sub/big.png")["image"].to_list() == [BIG]
    again = retry(lake, settings, refused(lake))
    assert {e.reason for e in again} == {"truncated", "empty"}
    assert completeness(lake, batch).problems == []


def test_a_repaired_file_is_a_new_file(lake: Lake, settings: Settings, batch: str) -> None:
    drop(settings.images_folder, "empty.jpg", encoded(texture(5)))
    version = lake.version("raw_images")

    (early,) = retry(lake, settings, refused(lake, paths=["empty.jpg"]))

    assert not early.read and early.reason == "empty"
    assert early.message == "changed since: its new content is a new file, see boatseg ingest"
    assert lake.version("raw_images") == version  # nothing to read, nothing read
    (later,) = build(lake, careful(settings))
    (late,) = retry(lake, settings, refused(lake, paths=["empty.jpg"]))
    assert late.message == f"changed since; its new content was taken with batch {later}"
    assert refused(lake, only_open=True)["path"].to_list() == ["cut [1].jpg", "sub/big.png"]
    assert completeness(lake, batch).problems == completeness(lake, later).problems == []


def test_a_deleted_file_is_not_asked_for(lake: Lake, settings: Settings, batch: str) -> None:
    (settings.images_folder / "empty.jpg").unlink()

    done = retry(lake, settings, refused(lake))

    assert {e.path: e.read for e in done} == {
        "cut [1].jpg": True,
        "empty.jpg": False,
        "sub/big.png": True,
    }
    assert "was deleted after it was sealed" in done[1].message
    assert completeness(lake, batch).problems == []
    assert refused(lake)["reason"].to_list() == ["truncated", "empty"]


def test_an_export_holds_the_bytes_and_says_what_is_wrong(
    lake: Lake, settings: Settings, batch: str, tmp_path: Path
) -> None:
    done = export(lake, settings, refused(lake), tmp_path / "out")

    assert (done.whole, done.heads, done.folder) == (3, 0, tmp_path / "out")
    names = listing(done.folder)
    assert names == [
        "000001-cut_1_.jpg",
        "000002-empty.jpg",
        "000003-big.png",
        "manifest.csv",
        "manifest.json",
    ]
    rows = json.loads((done.folder / "manifest.json").read_text())
    with (done.folder / "manifest.csv").open(newline="") as handle:
        assert [r["path"] for r in csv.DictReader(handle)] == [r["path"] for r in rows]
    for row in rows:
        data = (done.folder / row["file"]).read_bytes()
        assert data == (settings.images_folder / row["path"]).read_bytes()
        assert row["sha256"] == row["sha256_of_copy"] == hashlib.sha256(data).hexdigest()
        assert bytes.fromhex(row["head"]) == data[:64]
    assert {r["path"]: r["reason"] for r in rows}["sub/big.png"] == "too_many_pixels"


def test_what_is_gone_is_represented_by_its_first_bytes(
    lake: Lake, settings: Settings, batch: str, tmp_path: Path
) -> None:
    (settings.images_folder / "sub/big.png").unlink()
    drop(settings.images_folder, "cut [1].jpg", b"other content")

    done = export(lake, settings, refused(lake), tmp_path / "out")

    assert (done.whole, done.heads) == (1, 2)
    assert (done.folder / "000003-big.png.head").read_bytes() == BIG[:64]
    rows = {r["path"]: r for r in json.loads((done.folder / "manifest.json").read_text())}
    assert "was deleted" in rows["sub/big.png"]["content"]
    assert "was changed" in rows["cut [1].jpg"]["content"]
    assert b"other" not in (done.folder / rows["cut [1].jpg"]["file"]).read_bytes()


def test_a_source_out_of_reach_leaves_the_first_bytes(
    lake: Lake, settings: Settings, batch: str, tmp_path: Path
) -> None:
    settings.images_folder.rename(tmp_path / "unplugged")

    done = export(lake, settings, refused(lake), tmp_path / "out")

    assert (done.whole, done.heads) == (0, 3)


@pytest.mark.parametrize("kind", ["file", "full folder", "link"])
def test_nothing_is_overwritten(
    lake: Lake, settings: Settings, batch: str, tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "out"
    if kind == "file":
        target.write_text("mine")
    elif kind == "link":
        target.symlink_to(tmp_path)
    else:
        target.mkdir()
        (target / "mine").write_text("mine")
    before = listing(tmp_path)

    with pytest.raises(InputError, match="out exists already"):
        export(lake, settings, refused(lake), target)

    assert listing(tmp_path) == before


def test_a_failed_export_leaves_nothing(
    lake: Lake,
    settings: Settings,
    batch: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("boatseg_core.ingest.export._write_manifests", full)

    with pytest.raises(InputError, match="out cannot be written: No space left"):
        export(lake, settings, refused(lake), tmp_path / "out")

    assert [name for name in listing(tmp_path) if "out" in name] == []


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "a/..",
        "/",
        "",
        "..",
        ".hidden",
        "a\x1b[31m\n.jpg",
        "ü" * 300,
        "-rf",
        "C:x",
    ],
)
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    safe = safe_name(1, name)

    assert safe.startswith("000001-") and safe.isascii() and safe.isprintable()
    assert len(safe) < 100
    assert (tmp_path / safe).resolve().parent == tmp_path.resolve()


def test_members_of_archives_and_archives_are_exported(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in/good.jpg", encoded(texture(1)))
        archive.writestr("in/bad.jpg", b"no picture at all")
        archive.writestr("in/cut.png", BIG[:5000])
    drop(settings.images_folder, "pack.zip", packed.getvalue())
    drop(settings.images_folder, "broken.zip", packed.getvalue()[:-40])
    build(lake, settings)

    rows = refused(lake)
    done = export(lake, settings, rows, tmp_path / "out")

    assert rows["path"].to_list() == ["broken.zip", "pack.zip/in/bad.jpg", "pack.zip/in/cut.png"]
    found = {r["path"]: r for r in json.loads((done.folder / "manifest.json").read_text())}
    read = {path: (done.folder / row["file"]).read_bytes() for path, row in found.items()}
    assert read == {
        "broken.zip": packed.getvalue()[:-40],
        "pack.zip/in/bad.jpg": b"no picture at all",
        "pack.zip/in/cut.png": BIG[:5000],
    }


def test_a_bucket_is_quarantined_retried_and_exported_like_a_folder(
    s3: S3Server, tmp_path: Path
) -> None:
    """Landing folder and lake are both in the object store; the export is local."""
    import obstore

    name = s3.bucket()
    store = s3.store(name)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bad.jpg", b"no picture at all")
        archive.writestr("good.jpg", encoded(texture(3)))
    for key, data in {
        "in/good.jpg": encoded(texture(1)),
        "in/good copy.jpg": encoded(texture(1)),
        "in/sub/big.png": BIG,
        "in/empty.jpg": b"",
        "in/pack.zip": packed.getvalue(),
    }.items():
        obstore.put(store, key, data)
    settings = load_settings(
        home=tmp_path / "s3-home",
        lake_uri=f"s3://{name}/lake",
        storage_options=s3.storage_options,
        landing={"images": f"s3://{name}/in", "settle_seconds": 0},
    )
    lake = Lake.from_settings(settings)
    build(lake, careful(settings))
    assert duplicates(lake)["duplicate_of"].to_list() == ["good copy.jpg"]
    assert stale_duplicates(lake) == []
    rows = refused(lake)
    assert rows["path"].to_list() == ["empty.jpg", "pack.zip/bad.jpg", "sub/big.png"]

    done = export(lake, settings, rows, tmp_path / "out")
    entries = json.loads((done.folder / "manifest.json").read_text())
    read = {e["path"]: (done.folder / e["file"]).read_bytes() for e in entries}
    assert read == {
        "empty.jpg": b"",
        "pack.zip/bad.jpg": b"no picture at all",
        "sub/big.png": BIG,
    }

    again = {e.path: e.reason for e in retry(lake, settings, rows)}
    assert again == {
        "empty.jpg": "empty",
        "pack.zip/bad.jpg": "not_an_image",
        "sub/big.png": None,
    }
    obstore.put(store, "in/empty.jpg", encoded(texture(8)))
    (changed_since,) = retry(lake, settings, refused(lake, paths=["empty.jpg"]))
    assert "changed since" in changed_since.message and not changed_since.read

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from support.pictures import drop

from boatseg_core.errors import InputError
from boatseg_core.ingest.sources import Refusal
from boatseg_core.ingest.sources.local import LocalSource


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a/z.jpg", "a/b/c/deep.jpg", "a-b.jpg", "a.jpg", "B.jpg", "ü/ñ.jpg"):
        drop(tmp_path, name, name.encode())
    return tmp_path


def paths(source: LocalSource, after: str = "") -> list[str]:
    return [entry.path for entry in source.listing(after)]


def test_a_listing_is_in_the_byte_order_of_whole_paths(root: Path) -> None:
    found = paths(LocalSource("x", root))

    assert found == sorted(found, key=str.encode)
    assert found[1:4] == ["a-b.jpg", "a.jpg", "a/b/c/deep.jpg"]  # "-" and "." before "/"


def test_a_listing_goes_on_behind_any_path(root: Path) -> None:
    everything = paths(LocalSource("x", root))

    for place in [*everything, "", "a", "a/", "a/b", "a/b/c/zzz", "nowhere", "zzz", "a/z.jp"]:
        expected = [path for path in everything if path > place]
        assert paths(LocalSource("x", root), place) == expected, place


def test_sizes_and_times_are_those_of_the_files(root: Path) -> None:
    os.utime(root / "a" / "z.jpg", ns=(1, 1_234_567_890_123_456_789))

    (entry,) = list(LocalSource("x", root).listing("a/b/c/z"))[:1]

    assert (entry.path, entry.size, entry.mtime_ns) == ("a/z.jpg", 7, 1_234_567_890_123_456_789)


def test_hidden_folders_pipes_and_links_to_folders_are_passed_by(root: Path) -> None:
    drop(root, ".hidden/x.jpg", b"1")
    os.mkfifo(root / "pipe.jpg")
    (root / "loop").symlink_to(root)
    (root / "a" / "up").symlink_to(root / "a")
    (root / "gone.jpg").symlink_to(root / "nowhere")
    (root / "zlink.jpg").symlink_to(root / "a.jpg")

    found = paths(LocalSource("x", root))

    assert len(found) == 8
    assert found[-2:] == ["zlink.jpg", "ü/ñ.jpg"]


def test_names_of_any_length_and_of_any_bytes(tmp_path: Path) -> None:
    long = "x" * 251 + ".jpg"
    drop_at = tmp_path / ("d" * 255)
    drop_at.mkdir()
    (drop_at / long).write_bytes(b"1")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.jpg")).write_bytes(b"22")

    found = paths(LocalSource("x", tmp_path))

    assert found == [f"{'d' * 255}/{long}", "\udcff\udcfe.jpg"]


def test_a_link_to_itself_is_an_entry_with_an_error(root: Path) -> None:
    (root / "loop.jpg").symlink_to(root / "loop.jpg")

    (entry,) = [entry for entry in LocalSource("x", root).listing() if entry.error]

    assert (entry.path, entry.error) == ("loop.jpg", os.strerror(errno.ELOOP))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_forbidden_folder_is_an_entry_and_the_others_are_listed(root: Path) -> None:
    (root / "a").chmod(0)
    try:
        found = list(LocalSource("x", root).listing())
    finally:
        (root / "a").chmod(0o755)

    assert [entry.path for entry in found if entry.error] == ["a/"]
    assert len(found) == 6


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    source = LocalSource("x", tmp_path / "nope")
    for look in (source.check, lambda: list(source.listing())):
        with pytest.raises(InputError, match="nope cannot be read: No such file"):
            look()


def row(root: Path, name: str) -> dict[str, object]:
    found = (root / name).stat()
    return {
        "path": name,
        "size_bytes": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "etag": "",
        "archive": "",
    }


def test_a_file_is_read_as_it_was_sealed_or_not_at_all(root: Path) -> None:
    source, file = LocalSource("x", root), root / "b.jpg"
    sealed = row(root, "b.jpg")
    assert source.fetch(sealed) == b"b.jpg"

    os.utime(file, ns=(0, 0))
    with pytest.raises(Refusal, match="was changed") as caught:
        source.fetch(sealed)
    assert (caught.value.reason, caught.value.data) == ("changed", b"b.jpg")
    file.unlink()
    with pytest.raises(Refusal) as caught:
        source.fetch(sealed)
    assert caught.value.reason == "vanished"
    file.mkdir()
    with pytest.raises(Refusal) as caught:
        source.fetch(sealed)
    assert caught.value.reason == "vanished"
    file.rmdir()
    os.mkfifo(file)  # nobody will ever write to it
    with pytest.raises(Refusal) as caught:
        source.fetch(sealed)
    assert caught.value.reason == "changed"


def test_a_file_truncated_while_it_is_read_is_changed(root: Path) -> None:
    source = LocalSource("x", root)
    sealed = row(root, "b.jpg")
    blob = source.open("b.jpg", sealed["size_bytes"], sealed["mtime_ns"], "")
    with (root / "b.jpg").open("r+b") as file:
        file.truncate(2)

    assert blob.read(0, 5) == b"b."
    with pytest.raises(Refusal, match="was changed"):
        blob.check()


def test_a_file_is_not_gone_because_its_disk_is(root: Path) -> None:
    source, sealed = LocalSource("x", root), row(root, "b.jpg")
    aside = root.rename(root.with_name("aside"))
    try:
        with pytest.raises(InputError, match="connect its disk"):
            source.fetch(sealed)
    finally:
        aside.rename(root)


def test_listing_is_quick_enough_for_a_million_files(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / f"{number:03}"
        folder.mkdir()
        for inner in range(200):
            (folder / f"{inner:04}.jpg").touch()
    started = time.thread_time()

    count = sum(1 for _ in LocalSource("x", tmp_path).listing())

    seconds = time.thread_time() - started
    assert count == 4_000
    assert seconds < 0.4, "a thirtieth of the speed measured on one idle core"

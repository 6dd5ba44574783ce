from __future__ import annotations

import io
import lzma
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from support.archives import (
    KINDS,
    PACKERS,
    archive,
    lying_zip,
    overlapping_zip,
    special,
    tarred,
    zipped,
)

from boatseg_core.ingest.sources import Entry, Limits, Refusal, Row, list_members, read, reads
from boatseg_core.ingest.sources.local import LocalSource

LIMITS = Limits((".jpg",), member_bytes=2**20, total_bytes=2**30, ratio=200.0, members=1000)


def put(folder: Path, name: str, data: bytes) -> tuple[LocalSource, Entry]:
    file = folder / name
    file.write_bytes(data)
    found = file.stat()
    return LocalSource("x", folder), Entry(name, found.st_size, found.st_mtime_ns)


def rows(source: LocalSource, entry: Entry, limits: Limits = LIMITS) -> list[Row]:
    """Rows as the ledger has them."""
    return [
        {
            "path": f"{entry.path}/{member.path}",
            "size_bytes": member.size,
            "mtime_ns": entry.mtime_ns,
            "etag": str(entry.size),
            "archive": entry.path,
        }
        for member in list_members(source, entry, limits)
    ]


def results(source: LocalSource, sealed: list[Row], limits: Limits = LIMITS) -> dict[str, object]:
    """Bytes of each member by its path below the archive, or the reason it is refused."""
    found: dict[str, object] = {}
    for row, fetch in reads(source, sealed, limits):
        name = row["path"].removeprefix(row["archive"] + "/")
        try:
            found[name] = fetch()
        except Refusal as refusal:
            found[name] = refusal.reason
    return found


def whole(source: LocalSource, entry: Entry, limits: Limits = LIMITS) -> Refusal:
    with pytest.raises(Refusal) as caught:
        list_members(source, entry, limits)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_read_one_by_one(tmp_path: Path, kind: str) -> None:
    pictures = {f"{i % 3}/{i}.jpg": os.urandom(i * 5000) for i in range(20)}
    others = {"notes.txt": b"x", ".hidden.jpg": b"x", "__MACOSX/._1.jpg": b"x", "1.jpg.part": b"x"}
    source, entry = put(tmp_path, f"a{kind}", archive(kind, pictures | others))

    sealed = rows(source, entry)

    assert [row["path"] for row in sealed] == [f"a{kind}/{name}" for name in pictures]
    assert [row["size_bytes"] for row in sealed] == [len(data) for data in pictures.values()]
    assert results(source, sealed) == pictures
    some = random.Random(1).sample(sealed, 5)
    assert results(source, some) == {
        name: data
        for name, data in pictures.items()
        if any(r["path"].endswith(f"/{name}") for r in some)
    }
    assert read(source, sealed[-1], LIMITS) == pictures["1/19.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{kind}"]  # nothing unpacked


@pytest.mark.parametrize("kind", [".tar.gz", ".tar"])
def test_an_archive_is_gone_through_once_for_all_its_batches(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {f"{i:03}.jpg": os.urandom(40_000) for i in range(100)}
    source, entry = put(tmp_path, f"a{kind}", archive(kind, pictures))
    sealed = rows(source, entry)
    count = [0]
    pread = os.pread

    def counted(handle: int, length: int, offset: int) -> bytes:
        data = pread(handle, length, offset)
        count[0] += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)

    found: dict[str, object] = {}
    for start in range(0, 100, 10):
        found |= results(source, sealed[start : start + 10])

    assert found == pictures
    # A header's window may hold a little of what a picture's read has again.
    assert entry.size * 0.99 <= count[0] < entry.size * 1.5
    assert (
        results(source, sealed[20:30] + sealed[:5])
        == {  # backwards: from the front again
            name: pictures[name] for name in [*list(pictures)[20:30], *list(pictures)[:5]]
        }
    )


def test_a_pass_that_was_left_off_is_not_taken_for_another_archive(tmp_path: Path) -> None:
    first = {f"{i}.jpg": b"1%d" % i for i in range(4)}
    second = {f"{i}.jpg": b"2%d" % i for i in range(4)}
    for pictures in (first, second):
        source, entry = put(tmp_path, "a.tar.gz", archive(".tar.gz", pictures))
        sealed = rows(source, entry)
        assert results(source, sealed[:2]) == dict(list(pictures.items())[:2])
    assert results(source, sealed[2:]) == dict(list(second.items())[2:])


@pytest.mark.parametrize("kind", KINDS)
def test_unsafe_names_are_refused_and_spelled_harmlessly(tmp_path: Path, kind: str) -> None:
    names = ["../up.jpg", "a/../../up.jpg", "/etc/abs.jpg", "..\\win.jpg", "C:/win.jpg", "./ok.jpg"]
    source, entry = put(tmp_path, f"a{kind}", archive(kind, dict.fromkeys(names, b"x")))

    found = results(source, rows(source, entry))

    assert found == {
        "%2E%2E/up.jpg": "unsafe_member",
        "a/%2E%2E/%2E%2E/up.jpg": "unsafe_member",
        "%2Fetc/abs.jpg": "unsafe_member",
        "%2E%2E/win.jpg": "unsafe_member",
        "C:/win.jpg": "unsafe_member",
        "ok.jpg": b"x",
    }


def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path) -> None:
    data = tarred(
        [
            special("soft.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            special("hard.jpg", tarfile.LNKTYPE, "ok.jpg"),
            special("null.jpg", tarfile.CHRTYPE),
            special("disk.jpg", tarfile.BLKTYPE),
            special("pipe.jpg", tarfile.FIFOTYPE),
            special("folder.jpg", tarfile.DIRTYPE),
            (tarfile.TarInfo("ok.jpg"), b"x"),
        ]
    )
    source, entry = put(tmp_path, "a.tar", data)

    found = results(source, rows(source, entry))

    refused = dict.fromkeys(
        ["soft.jpg", "hard.jpg", "null.jpg", "disk.jpg", "pipe.jpg"], "unsafe_member"
    )
    assert found == refused | {"ok.jpg": b"x"}


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
        file.writestr("ok.jpg", b"x")
    source, entry = put(tmp_path, "a.zip", buffer.getvalue())

    assert results(source, rows(source, entry)) == {"link.jpg": "unsafe_member", "ok.jpg": b"x"}


@pytest.mark.parametrize("kind", KINDS)
def test_archives_in_archives_are_named_and_not_opened(tmp_path: Path, kind: str) -> None:
    inner = zipped({"x.jpg": bytes(2**20)})
    source, entry = put(tmp_path, f"a{kind}", archive(kind, {"in.zip": inner, "ok.jpg": b"x"}))

    assert results(source, rows(source, entry)) == {"in.zip": "nested_archive", "ok.jpg": b"x"}


def test_encrypted_members_are_refused_and_an_encrypted_archive_as_a_whole(tmp_path: Path) -> None:
    data = bytearray(zipped({"secret.jpg": b"x", "ok.jpg": b"x"}))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + at] |= 1
    source, entry = put(tmp_path, "a.zip", bytes(data))
    assert results(source, rows(source, entry)) == {"secret.jpg": "encrypted", "ok.jpg": b"x"}

    only = bytearray(zipped({"secret.jpg": b"x"}))
    only[only.index(b"PK\1\2") + 8] |= 1
    assert whole(*put(tmp_path, "b.zip", bytes(only))).reason == "encrypted"


def test_a_method_that_is_not_read_is_named(tmp_path: Path) -> None:
    source, entry = put(tmp_path, "a.zip", zipped({"a.jpg": b"x" * 99}, zipfile.ZIP_LZMA))

    assert results(source, rows(source, entry)) == {"a.jpg": "unsupported_member"}


@pytest.mark.parametrize("claimed", [10, 999_999])
def test_a_zip_header_that_lies_inflates_to_no_more_than_it_says(
    tmp_path: Path, claimed: int
) -> None:
    source, entry = put(tmp_path, "a.zip", lying_zip("a.jpg", bytes(50 * 2**20), claimed))
    sealed = rows(source, entry)
    assert sealed[0]["size_bytes"] == claimed
    tracemalloc.start()

    found = results(source, sealed)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == {"a.jpg": "corrupt_archive"}
    assert peak < 4 * 2**20


def test_a_member_larger_than_allowed_is_refused_unread(tmp_path: Path) -> None:
    for kind in (".zip", ".tar.gz"):
        big = archive(kind, {"big.jpg": bytes(2**20 + 1), "ok.jpg": b"x"})
        source, entry = put(tmp_path, f"a{kind}", big)
        assert results(source, rows(source, entry)) == {"big.jpg": "too_many_bytes", "ok.jpg": b"x"}


def test_a_zip_of_overlapping_members_is_a_bomb(tmp_path: Path) -> None:
    """Like zbsm.zip (Fifield 2019): a few kB that unpack to gigabytes."""
    data = overlapping_zip(900, 8 * 2**20)
    assert len(data) < 100_000
    source, entry = put(tmp_path, "a.zip", data)
    tracemalloc.start()

    refusal = whole(source, entry)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.reason == "bomb"
    assert peak < 4 * 2**20


@pytest.mark.parametrize("kind", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_tar_that_unpacks_to_too_much_is_a_bomb(tmp_path: Path, kind: str) -> None:
    data = archive(kind, {f"{i}.jpg": bytes(2**20) for i in range(100)})
    assert len(data) < 2**19
    tracemalloc.start()

    refusal = whole(*put(tmp_path, f"a{kind}", data))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.reason == "bomb"
    assert "archive_max_ratio" in str(refusal)
    assert peak < 16 * 2**20  # of 100 MiB; xz alone has a dictionary of 8


def test_a_bomb_behind_the_archives_end_is_one_all_the_same(tmp_path: Path) -> None:
    data = tarred([(tarfile.TarInfo("a.jpg"), b"x")]) + bytes(100 * 2**20)

    assert whole(*put(tmp_path, "a.tar.xz", lzma.compress(data, preset=1))).reason == "bomb"


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_members_and_too_many_bytes(tmp_path: Path, kind: str) -> None:
    pictures = {f"{i}.jpg": os.urandom(1000) for i in range(30)}
    source, entry = put(tmp_path, f"a{kind}", archive(kind, pictures))
    few = Limits((".jpg",), 2**20, total_bytes=2**30, ratio=200, members=29)
    small = Limits((".jpg",), 2**20, total_bytes=29_000, ratio=200, members=1000)

    assert "archive_max_members" in str(whole(source, entry, few))
    assert "archive_max_bytes" in str(whole(source, entry, small))


def test_a_tar_header_that_asks_for_memory_is_a_bomb(tmp_path: Path) -> None:
    """A GNU long name of 2 GB: tarfile would read it into memory in one go."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2 * 2**30
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)
    for kind, pack in PACKERS.items():
        refusal = whole(*put(tmp_path, f"a{kind}", pack(data)))
        assert refusal.reason == "bomb", kind


def test_a_zip_directory_that_asks_for_memory_is_a_bomb(tmp_path: Path) -> None:
    size = 300 * 2**20
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, size, 0, 0)
    file = tmp_path / "a.zip"
    with file.open("wb") as handle:
        handle.truncate(size)  # a hole: no disk is needed
        handle.seek(size)
        handle.write(tail)
    found = file.stat()

    refusal = whole(LocalSource("x", tmp_path), Entry("a.zip", found.st_size, found.st_mtime_ns))

    assert refusal.reason == "bomb"


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_archive_is_refused_as_a_whole(tmp_path: Path, kind: str) -> None:
    data = archive(kind, {f"{i}.jpg": os.urandom(3000) for i in range(10)})
    # At a member's end a tar of which something is missing looks whole but for its end mark.
    for length in (0, 1, len(data) // 2, 5 * 4096 if kind == ".tar" else len(data) - 1):
        refusal = whole(*put(tmp_path, f"a{kind}", data[:length]))
        assert refusal.reason == "corrupt_archive", length


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_is_a_refusal_and_nothing_else(tmp_path: Path, kind: str) -> None:
    pictures = {f"{i}.jpg": random.Random(i).randbytes(600) for i in range(6)}
    whole_data = archive(kind, pictures)
    chance = random.Random(7)
    for _ in range(150):
        data = bytearray(whole_data)
        for _ in range(chance.choice([1, 1, 2, 8])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        source, entry = put(tmp_path, f"a{kind}", bytes(data))
        try:
            sealed = rows(source, entry)
        except Refusal:
            continue
        # Plain tar has no checksum on its data: a picture's decoder has to find that.
        for name, found in results(source, sealed).items():
            if kind != ".tar" and isinstance(found, bytes) and name in pictures:
                assert found == pictures[name]


def test_an_archive_without_images(tmp_path: Path) -> None:
    assert whole(*put(tmp_path, "a.zip", zipped({"a.txt": b"x"}))).reason == "no_images"
    assert whole(*put(tmp_path, "a.tar", tarred([]))).reason == "no_images"


@pytest.mark.parametrize("kind", PACKERS)
def test_of_a_tar_with_one_name_twice_only_what_is_ambiguous_is_refused(
    tmp_path: Path, kind: str
) -> None:
    big = os.urandom(300_000)
    members = (
        ("a.jpg", b"x"),
        ("b.jpg", b"z"),
        ("./a.jpg", b"y"),
        ("c.jpg", big),
        ("empty.jpg", b"now nothing"),
        ("c.jpg", big),
        ("d.jpg", b"unlike" + big),
        ("empty.jpg", b""),
        ("d.jpg", b"the size" + big),
    )
    packed = PACKERS[kind](tarred([(tarfile.TarInfo(name), data) for name, data in members]))
    source, entry = put(tmp_path, f"b{kind}", packed)
    sealed = rows(source, entry)
    expected = {
        "a.jpg": "duplicate_member",
        "b.jpg": b"z",
        "c.jpg": big,
        "empty.jpg": "duplicate_member",
        "d.jpg": "duplicate_member",
    }
    assert results(source, sealed) == expected
    # Batch by batch, as an archive is read that was sealed into many: the pass goes on.
    one_by_one: dict[str, object] = {}
    for row in sealed:
        one_by_one |= results(source, [row])
    assert one_by_one == expected
    with pytest.raises(Refusal, match=rf"b{kind} holds a.jpg more than once with different"):
        read(source, sealed[0], LIMITS)


def test_of_a_zip_with_one_name_twice_only_what_is_ambiguous_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, data in (
            ("a.jpg", b"x"),
            ("b.jpg", b"z"),
            ("./a.jpg", b"y"),
            ("c.jpg", b"same"),
            ("c.jpg", b"same"),
        ):
            file.writestr(name, data)
    source, entry = put(tmp_path, "b.zip", packed.getvalue())
    sealed = rows(source, entry)
    assert len(sealed) == 3
    assert results(source, sealed) == {
        "a.jpg": "duplicate_member",
        "b.jpg": b"z",
        "c.jpg": b"same",
    }
    with pytest.raises(Refusal, match="more than once with different contents"):
        read(source, next(row for row in sealed if row["path"].endswith("a.jpg")), LIMITS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_overwritten_or_deleted_since_is_not_damaged(tmp_path: Path, kind: str) -> None:
    pictures = {"a.jpg": b"x", "b.jpg": b"y"}
    source, entry = put(tmp_path, f"a{kind}", archive(kind, pictures))
    sealed = rows(source, entry)
    (tmp_path / f"a{kind}").write_bytes(b"something else")
    assert set(results(source, sealed).values()) == {"changed"}
    (tmp_path / f"a{kind}").unlink()
    assert set(results(source, sealed).values()) == {"vanished"}


def test_an_archive_overwritten_while_it_is_read_is_changed(tmp_path: Path) -> None:
    source, entry = put(tmp_path, "a.zip", zipped({"a.jpg": b"x" * 99, "b.jpg": b"y" * 99}))
    fetches = dict(enumerate(fetch for _, fetch in reads(source, rows(source, entry), LIMITS)))
    assert fetches[0]() == b"x" * 99

    (tmp_path / "a.zip").write_bytes(bytes(entry.size))

    with pytest.raises(Refusal) as caught:
        fetches[1]()
    assert caught.value.reason == "changed"


def test_an_archive_that_was_refused_as_a_whole_is_refused_again(tmp_path: Path) -> None:
    source, entry = put(tmp_path, "a.zip", zipped({"a.jpg": b"x"})[:-1])
    row = {
        "path": "a.zip",
        "size_bytes": entry.size,
        "mtime_ns": entry.mtime_ns,
        "etag": str(entry.size),
        "archive": "a.zip",
    }
    with pytest.raises(Refusal) as caught:
        read(source, row, LIMITS)
    assert (caught.value.reason, caught.value.data[:4]) == ("corrupt_archive", b"PK\3\4")

    source, entry = put(tmp_path, "a.zip", zipped({"a.jpg": b"x"}))
    usable = row | {"size_bytes": entry.size, "mtime_ns": entry.mtime_ns, "etag": str(entry.size)}
    with pytest.raises(Refusal, match="touch it") as caught:
        read(source, usable, LIMITS)
    assert caught.value.reason == "sealed_whole"


def test_memory_stays_flat_over_a_large_archive(tmp_path: Path) -> None:
    pictures = {f"{i}.jpg": os.urandom(2**18) for i in range(100)}
    for kind in (".tar", ".tar.gz", ".zip"):
        source, entry = put(tmp_path, f"a{kind}", archive(kind, pictures))
        tracemalloc.start()
        for row, fetch in reads(source, rows(source, entry), LIMITS):
            assert len(fetch()) == row["size_bytes"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 12 * 2**20, kind

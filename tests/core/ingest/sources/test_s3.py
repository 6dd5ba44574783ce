from __future__ import annotations

import ast
import os

import obstore
import pytest
from support.archives import KINDS, archive
from support.listing import bucket_of
from support.s3 import S3Server

from boatseg_core.errors import InputError
from boatseg_core.ingest.sources import Entry, Limits, Refusal, Row, is_back, list_members, reads
from boatseg_core.ingest.sources.s3 import S3Source

LIMITS = Limits((".jpg",), member_bytes=2**24, total_bytes=2**30, ratio=200.0, members=10_000)


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = s3.bucket()
    store = s3.store(name)
    for key in (
        "in/b.jpg",
        "in/a/z.jpg",
        "in/a-b.jpg",
        "in/ü %41#?.jpg",
        "other/x.jpg",
        "in2/y.jpg",
    ):
        obstore.put(store, key, key.encode())
    return name


def source(s3: S3Server, bucket: str, **options: str) -> S3Source:
    return S3Source(f"s3://{bucket}/in", s3.storage_options | options)


def row(entry: Entry) -> Row:
    return {
        "path": entry.path,
        "size_bytes": entry.size,
        "mtime_ns": entry.mtime_ns,
        "etag": entry.etag,
        "archive": "",
    }


def reason(at: S3Source, sealed: Row) -> str:
    with pytest.raises(Refusal) as caught:
        at.fetch(sealed)
    assert is_back(at, sealed) is False
    return caught.value.reason


def test_a_listing_has_every_object_below_the_prefix_and_goes_on_anywhere(
    s3: S3Server, bucket: str
) -> None:
    at = source(s3, bucket)

    found = list(at.listing())

    assert {entry.path for entry in found} == {"b.jpg", "a/z.jpg", "a-b.jpg", "ü %41#?.jpg"}
    assert all(entry.etag and entry.size and entry.mtime_ns for entry in found)
    for number, entry in enumerate(found):
        assert list(at.listing(entry.path)) == found[number + 1 :]


@pytest.mark.parametrize("prefix", ["w/e i%20r", "w/e i r", "w/100%", "w/x?y#z", "w/%41"])
def test_a_prefix_is_taken_as_the_keys_have_it(s3: S3Server, prefix: str) -> None:
    name = s3.bucket()
    for each in ("w/e i%20r", "w/e i r", "w/100%", "w/x?y#z", "w/x", "w/%41", "w/A"):
        obstore.put(s3.store(name), f"{each}/a.jpg", each.encode())
    at = S3Source(f"s3://{name}/{prefix}/", s3.storage_options)

    (found,) = at.listing()

    assert (found.path, at.fetch(row(found))) == ("a.jpg", prefix.encode())
    assert at.locate(found.path) == f"s3://{name}/{prefix}/a.jpg"


def test_more_objects_than_one_page(s3: S3Server) -> None:
    name = s3.bucket()
    store = s3.store(name)
    for number in range(1100):
        obstore.put(store, f"in/{number:05}.jpg", b"x")

    found = [entry.path for entry in source(s3, name).listing()]

    assert found == [f"{number:05}.jpg" for number in range(1100)]


def test_an_object_is_read_as_it_was_sealed_or_not_at_all(s3: S3Server, bucket: str) -> None:
    at, store = source(s3, bucket), s3.store(bucket)
    sealed = {entry.path: row(entry) for entry in at.listing()}
    for path, each in sealed.items():
        assert at.fetch(each) == f"in/{path}".encode()
        assert is_back(at, each)

    obstore.put(store, "in/b.jpg", b"in/x.jpg")  # of the same size
    obstore.delete(store, "in/a-b.jpg")

    assert reason(at, sealed["b.jpg"]) == "changed"
    assert reason(at, sealed["a-b.jpg"]) == "vanished"
    obstore.put(store, "in/b.jpg", b"in/b.jpg")  # the same bytes at another time
    assert at.fetch(sealed["b.jpg"]) == b"in/b.jpg"


def test_a_bucket_that_is_not_there_or_forbidden_is_an_error(s3: S3Server, bucket: str) -> None:
    sealed = row(next(iter(source(s3, bucket).listing())))
    for wrong in (source(s3, "no-such-bucket"), source(s3, bucket, AWS_SECRET_ACCESS_KEY="no")):
        with pytest.raises(InputError, match=r"s3://.*/in cannot be listed: \w+: [^<>]+; check"):
            wrong.check()
        with pytest.raises(InputError):  # of an object nothing can be said then
            wrong.fetch(sealed)
        assert is_back(wrong, sealed) is False


def test_impossible_options_and_names_are_named(s3: S3Server) -> None:
    with pytest.raises(InputError, match="storage_options"):
        S3Source("s3://bucket/in", s3.storage_options | {"AWS_CONDITIONAL_PUT": "maybe"})
    for uri in ("gs://bucket", "s3://", "https://example.com/images"):
        with pytest.raises(InputError, match="s3://bucket/prefix"):
            S3Source(uri, {})


def test_keys_of_the_environment_serve_as_well(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.storage_options.items():
        monkeypatch.setenv(name, value)

    assert len(list(S3Source(f"s3://{bucket}/in", {}).listing())) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_archives_are_read_in_place(s3: S3Server, bucket: str, kind: str) -> None:
    pictures = {f"{i}.jpg": os.urandom(1 + i * 3_000) for i in range(30)}
    store = s3.store(bucket)
    obstore.put(store, f"in/z{kind}", archive(kind, pictures))
    at = source(s3, bucket)
    (entry,) = [entry for entry in at.listing() if entry.path == f"z{kind}"]
    sealed = [
        {
            "path": f"z{kind}/{member.path}",
            "size_bytes": member.size,
            "mtime_ns": entry.mtime_ns,
            "etag": entry.etag,
            "archive": entry.path,
        }
        for member in list_members(at, entry, LIMITS)
    ]

    found = {
        each["path"].removeprefix(f"z{kind}/"): fetch() for each, fetch in reads(at, sealed, LIMITS)
    }

    assert found == pictures
    obstore.put(store, f"in/z{kind}", archive(kind, pictures | {"0.jpg": b"longer than it was"}))
    for _, fetch in reads(at, sealed, LIMITS):
        with pytest.raises(Refusal, match="was changed"):
            fetch()


@pytest.mark.parametrize(
    "wrong", ["in/m//x.jpg", "in/m/./x.jpg", "in/m/../x.jpg", "in/m/a\tb.jpg", "in//x.jpg"]
)
def test_a_key_that_is_no_path_costs_its_folder_and_no_more(wrong: str) -> None:
    folder = "m/" if "m/" in wrong else "/"
    fine = [f"{name}/{i:02}.jpg" for name in ("in/a", "in/m/n", "in/z") for i in range(15)]
    fine += ["in/m/z.jpg", "in/m.jpg", "in/z.jpg", "in2/x.jpg"]
    with bucket_of([*fine, wrong, wrong.replace("x.jpg", "y.jpg")]) as options:
        at = S3Source("s3://any/in", options)
        entries = list(at.listing())
        behind = list(at.listing("m/n/07.jpg"))

    ((path, error),) = [(entry.path, entry.error) for entry in entries if entry.error]
    assert path == folder
    assert wrong[3:].startswith(ast.literal_eval(error.split("with ")[1].split(":")[0]))
    found = [entry.path for entry in entries if not entry.error]
    assert found == sorted(path[3:] for path in fine if path.startswith("in/"))
    assert [entry.path for entry in behind if not entry.error] == [
        path for path in found if path > "m/n/07.jpg"
    ]

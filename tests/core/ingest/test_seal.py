from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from support.archives import zipped
from support.pictures import drop
from support.workers import seal_in_process

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import InputError
from boatseg_core.ingest.discover import Discovery, discover
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake


def resealed(settings: Settings, **seal_bounds: int) -> Settings:
    return settings.model_copy(update={"seal": settings.seal.model_copy(update=seal_bounds)})


def test_files_are_sealed_once(lake: Lake, settings: Settings) -> None:
    for i in range(5):
        drop(settings.images_folder, f"deep/er/{i}.jpg", b"x" * i)

    first = seal(lake, settings)
    again = seal(lake, settings)

    assert sum(first.batches.values()) == 5
    assert again.batches == {}
    assert again.discovery.known == 5
    assert lake.read("files")["image_id"].sort().to_list() == [f"deep/er/{i}.jpg" for i in range(5)]


def test_batches_are_bounded_by_number_and_bytes(lake: Lake, settings: Settings) -> None:
    for i in range(7):
        drop(settings.images_folder, f"{i}.jpg", b"x" * 10)
    drop(settings.images_folder, "z-large.jpg", b"x" * 500)

    batches = seal(lake, resealed(settings, max_files=3, max_bytes=100)).batches

    assert list(batches.values()) == [3, 3, 1, 1]
    assert list(batches) == sorted(batches)


def test_a_late_file_opens_a_new_batch(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "b.jpg", b"1")
    first = seal(lake, settings).batches
    late = drop(settings.images_folder, "a.jpg", b"2")
    os.utime(late, (0, 0))  # with an old timestamp

    second = seal(lake, settings).batches

    assert list(second.values()) == [1]
    assert min(second) > max(first)


def test_an_overwritten_file_is_new_again(lake: Lake, settings: Settings) -> None:
    drop(settings.images_folder, "a.jpg", b"1")
    seal(lake, settings)
    drop(settings.images_folder, "a.jpg", b"22")

    assert sum(seal(lake, settings).batches.values()) == 1
    assert lake.read("files").height == 2


def test_unfinished_and_foreign_files_wait_or_are_ignored(lake: Lake, settings: Settings) -> None:
    folder = settings.images_folder
    drop(folder, "ready.jpg", b"1")
    os.utime(folder / "ready.jpg", (1, 1))
    drop(folder, "young.jpg", b"1")
    for name in ("copy.jpg.part", "copy.tmp", "notes.txt"):
        drop(folder, name, b"1")
    (folder / ".hidden.jpg").write_bytes(b"1")
    slow = settings.model_copy(
        update={"landing": settings.landing.model_copy(update={"settle_seconds": 60.0})}
    )

    found = discover(lake, slow)

    assert found.new["path"].to_list() == ["ready.jpg"]
    assert (found.unsettled, found.ignored) == (1, 4)


def test_a_loop_of_links_ends_and_a_dangling_link_is_skipped(
    lake: Lake, settings: Settings
) -> None:
    folder = settings.images_folder
    drop(folder, "sub/a.jpg", b"1")
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")

    assert discover(lake, settings).new["path"].to_list() == ["sub/a.jpg"]


def test_a_link_to_itself_is_reported_and_stops_nothing(lake: Lake, settings: Settings) -> None:
    folder = settings.images_folder
    drop(folder, "a.jpg", b"1")
    for name in ("loop.jpg", "loop.txt"):
        (folder / name).symlink_to(folder / name)

    found = discover(lake, settings)

    assert found.new["path"].to_list() == ["a.jpg"]
    assert [message.split(":")[0] for message in found.unreadable] == ["loop.jpg"]
    assert found.unreadable[0].endswith(os.strerror(errno.ELOOP))


def test_a_time_ahead_of_the_clock_is_not_waited_for(lake: Lake, settings: Settings) -> None:
    ahead = drop(settings.images_folder, "ahead.jpg", b"1")
    skewed = drop(settings.images_folder, "skewed.jpg", b"1")
    now = time.time()
    os.utime(ahead, (now + 86_400, now + 86_400))
    os.utime(skewed, (now + 30, now + 30))  # another machine's clock: perhaps still being written
    slow = settings.model_copy(
        update={"landing": settings.landing.model_copy(update={"settle_seconds": 60.0})}
    )

    found = discover(lake, slow)

    assert found.new["path"].to_list() == ["ahead.jpg"]
    assert found.unsettled == 1


def test_a_name_that_is_not_utf8_is_named_not_lost(lake: Lake, settings: Settings) -> None:
    (Path(os.fsdecode(os.fsencode(settings.images_folder) + b"/\xff.jpg"))).write_bytes(b"1")

    found = discover(lake, settings)

    assert found.new.is_empty()
    assert found.unnameable == ("\\xff.jpg",)


def test_a_missing_folder_of_the_users_own_is_an_error(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, landing={"images": str(tmp_path / "nope")})

    with pytest.raises(InputError, match="nope cannot be read: No such file"):
        seal(Lake.from_settings(settings), settings)


def test_concurrent_sealers_seal_every_file_once(lake: Lake, settings: Settings) -> None:
    for i in range(40):
        drop(settings.images_folder, f"{i:02}.jpg", b"x")
    home = str(settings.paths.root)

    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(seal_in_process, [home] * 4))

    files = lake.read("files")
    assert files.height == 40
    assert files["path"].n_unique() == 40
    assert sum(sum(batches.values()) for batches in results) == 40


def test_a_sealer_that_loses_the_race_seals_what_the_winner_has_not(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archives included: their members are the winner's or the loser's, never both's."""
    pack = {f"{i}.jpg": b"x" for i in range(3)}
    for name in ("a.jpg", "b.jpg"):
        drop(settings.images_folder, name, b"1")
    drop(settings.images_folder, "a.zip", zipped(pack))
    looks: list[int] = []

    def late(*args: object, **kwargs: object) -> Discovery:
        found = discover(*args, **kwargs)  # type: ignore[arg-type]
        looks.append(found.new.height)
        if len(looks) == 1:  # another process, between this one's look and its commit
            (settings.images_folder / "b.jpg").rename(settings.paths.root / "b.jpg")
            winner.extend(seal(lake, settings).batches.values())
        return found

    winner: list[int] = []
    monkeypatch.setattr("boatseg_core.ingest.seal.discover", late)

    mine = seal(lake, settings)

    assert (winner, list(mine.batches.values())) == ([4], [1])
    assert looks == [5, 4]  # the loser does not list again
    assert sorted(lake.read("files")["path"]) == ["a.jpg", *(f"a.zip/{n}" for n in pack), "b.jpg"]

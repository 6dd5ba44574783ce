"""What must be survived: odd pictures, hostile ones, and files that change under the reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import obstore
import pytest
from support.archives import archive
from support.hostile import giant_png, zoo
from support.pictures import drop, encoded, texture
from support.s3 import S3Server

from boatseg_core.config import Settings, load_settings
from boatseg_core.imaging.decode import decode
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.reconcile import incomplete_batches
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake


def deliver(settings: Settings, s3: S3Server, way: str) -> Settings:
    """Put the zoo where images arrive: a folder, a bucket, an archive in either."""
    files = {name: data for name, (data, _) in zoo().items()}
    kind = way.partition(" ")[2]
    if kind:
        files = {f"all{kind}": archive(kind, files)}
    if way.startswith("folder"):
        for name, data in files.items():
            (settings.images_folder / name).write_bytes(data)  # one has no room for a suffix
        return settings
    bucket = s3.bucket()
    for name, data in files.items():
        obstore.put(s3.store(bucket), f"in/{name}", data)
    return load_settings(
        home=settings.paths.root,
        storage_options=s3.storage_options,
        landing={"settle_seconds": 0, "images": f"s3://{bucket}/in"},
    )


@pytest.mark.parametrize(
    "way", ["folder", "folder .zip", "folder .tar.gz", "bucket", "bucket .zip"]
)
def test_every_odd_picture_is_a_row_with_its_mode_or_its_reason(
    settings: Settings, lake: Lake, s3: S3Server, way: str
) -> None:
    settings = deliver(settings, s3, way)

    (batch,) = seal(lake, settings).batches
    summary = ingest_batch(lake, batch, settings)

    taken = lake.read("raw_images", ["path", "mode"])
    refused = lake.read("quarantine", ["path", "reason"])
    found = dict((*taken.iter_rows(), *refused.iter_rows()))
    assert {path.rpartition("/")[2]: what for path, what in found.items()} == {
        name: what for name, (_, what) in zoo().items()
    }
    assert summary.sealed == summary.images + sum(summary.quarantined.values()) == len(zoo())
    assert incomplete_batches(lake) == []


def test_orientation_turns_the_pixels_and_not_the_bytes(settings: Settings, lake: Lake) -> None:
    data, _ = zoo()["rotated.jpg"]
    drop(settings.images_folder, "rotated.jpg", data)
    (batch,) = seal(lake, settings).batches
    ingest_batch(lake, batch, settings)

    row = lake.read("raw_images", ["image", "width", "height", "orientation"]).row(0, named=True)

    assert row["image"] == data
    assert (row["width"], row["height"], row["orientation"]) == (96, 128, 6)
    assert decode(data).shape == (128, 96, 3)


_CHILD = """
import json, resource, sys
from boatseg_core.config import load_settings
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake
home, *folders = sys.argv[1:]
peaks, counts = [], []
for folder in folders:
    settings = load_settings(home=home, landing={"settle_seconds": 0, "images": folder})
    lake = Lake.from_settings(settings)
    for batch in seal(lake, settings).batches:
        done = ingest_batch(lake, batch, settings)
        counts.append([done.images, done.quarantined])
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps([peaks, counts]))
"""


def run_apart(home: Path, *folders: Path) -> tuple[list[float], list[list[object]]]:
    """Ingest folders one after the other in a process of its own: peak MiB after each; results."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(home), *map(str, folders)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    peaks, counts = json.loads(done.stdout)
    return peaks, counts


def test_pictures_that_would_fill_the_memory_take_none(tmp_path: Path) -> None:
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    for seed in range(8):
        drop(calm, f"{seed}.jpg", encoded(texture(seed)))
    giant = giant_png()
    assert len(giant) < 100_000  # 400 megapixels
    for number in range(8):
        drop(wild, f"{number}.png", giant)
    drop(wild, "all.zip", archive(".zip", {f"{number}.png": giant for number in range(8)}))

    (before, after), counts = run_apart(tmp_path / "home", calm, wild)

    assert counts == [[8, {}], [0, {"too_many_pixels": 16}]]
    assert after - before < 60, "one of them has 400 MB of pixels"


def test_memory_is_flat_over_files_of_any_size(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    noise = np.random.default_rng(0).integers(0, 255, (512, 512, 3)).astype(np.uint8)
    picture = encoded(noise, "PNG")
    for number in range(8):
        drop(small, f"{number}.png", picture)
    for number in range(24):  # pictures with 16 MiB of something behind them: 384 MiB in all
        file = drop(large, f"{number}.png", picture)
        os.truncate(file, 16 * 2**20)

    (before, after), counts = run_apart(tmp_path / "home", small, large)

    assert sum(done[0] for done in counts) == 32  # type: ignore[misc]
    assert after - before < 330, "all of them together have 384 MiB"


def test_files_overwritten_truncated_and_deleted_before_they_are_read(
    settings: Settings, lake: Lake
) -> None:
    folder = settings.images_folder
    data = {f"{i}.jpg": encoded(texture(i)) for i in range(6)}
    for name, content in data.items():
        drop(folder, name, content)
    (batch,) = seal(lake, settings).batches
    (folder / "0.jpg").unlink()
    os.truncate(folder / "1.jpg", 100)
    drop(folder, "2.jpg", encoded(texture(22)))
    (folder / "3.jpg").write_bytes(data["4.jpg"])
    (folder / "5.jpg").unlink()
    (folder / "5.jpg").mkdir()

    summary = ingest_batch(lake, batch, settings)

    assert (summary.images, summary.quarantined) == (1, {"vanished": 2, "changed": 3})
    assert incomplete_batches(lake) == []
    (again,) = seal(lake, settings).batches
    done = ingest_batch(lake, again, settings)
    assert (done.images, done.quarantined) == (2, {"corrupt": 1})


def test_files_that_change_while_they_are_read_are_never_torn(
    settings: Settings, lake: Lake
) -> None:
    """A writer that overwrites in place, without pause, while batches are sealed and read."""
    versions = [encoded(texture(i, 200 + 8 * i, 200)) for i in range(5)]
    folder = settings.images_folder
    for number in range(4):
        drop(folder, f"{number}.jpg", versions[0])
    stop = threading.Event()

    def scribble() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            (folder / f"{turn % 4}.jpg").write_bytes(versions[turn % len(versions)])
            stop.wait(0.001)

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for _ in range(12):
            for batch in seal(lake, settings).batches:
                ingest_batch(lake, batch, settings)
    finally:
        stop.set()
        writer.join()
    for batch in seal(lake, settings).batches:
        ingest_batch(lake, batch, settings)

    rows = lake.read("raw_images", ["image_id", "batch_id", "image"]).sort("batch_id")
    newest = {row[0]: row[2] for row in rows.iter_rows()}
    assert newest == {f"{n}.jpg": (folder / f"{n}.jpg").read_bytes() for n in range(4)}
    assert incomplete_batches(lake) == []
    whole = [row[2] in versions for row in rows.iter_rows()]
    assert all(whole), "a row holds bytes that were never a file's"

"""Scenes to files: JPEGs and one CSV in the layout of the real data set."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from boatseg_core.errors import InputError
from boatseg_core.imaging import rle
from boatseg_core.synth.faults import fault_files, fault_rows
from boatseg_core.synth.plan import plan_scene
from boatseg_core.synth.scene import render_windows

__all__ = [
    "CSV_NAME",
    "DatasetSummary",
    "generator_digest",
    "image_name",
    "jpeg_bytes",
    "write_dataset",
]

CSV_NAME = "train_ship_segmentations_v2.csv"
"""Name of the label file in the real data set."""
HEADER = ("ImageId", "EncodedPixels")
_SLOTS = 16  # more than the windows of the largest scene
_SEED_BITS, _SLOT_BITS = 14, 22
_BITS = _SEED_BITS + _SLOT_BITS


@dataclass(frozen=True)
class DatasetSummary:
    """What :func:`write_dataset` wrote.

    Attributes:
        images: Readable pictures with content, faulty files not counted.
        boats: Boats in them (rows with a mask); 0 where ``unlabelled``.
        empty_images: Pictures without a boat.
        faults: ``(file or ImageId, kind)`` of every fault mixed in.
        csv: Path of the label file, or None where ``unlabelled``.
    """

    images: int
    boats: int
    empty_images: int
    faults: list[tuple[str, str]] = field(default_factory=list)
    csv: Path | None = None


def image_name(seed: int, slot: int, prefix: str = "") -> str:
    """Names a picture with nine hexadecimal digits, as the real ones are.

    The digits are a one-to-one mixing of seed and slot, so names never clash between seeds below
    16,384; beyond that, or beyond four million slots, more digits keep them apart.

    Args:
        seed: Seed of the data set.
        slot: Number of the picture within it.
        prefix: Put before the digits.

    Returns:
        A file name ending in ``.jpg``.
    """
    if seed < 2**_SEED_BITS and slot < 2**_SLOT_BITS:
        value = _mix(seed << _SLOT_BITS | slot, _BITS)
        return f"{prefix}{value:09x}.jpg"
    value = _mix(seed << 40 | slot, 104)
    return f"{prefix}{value:026x}.jpg"


def _mix(value: int, bits: int) -> int:
    """Permutes the integers of ``bits`` bits (odd multipliers and xor-shifts are one-to-one)."""
    limit = (1 << bits) - 1
    for odd in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        value = value * odd & limit
        value ^= value >> (bits // 2)
    return value


def generator_digest() -> str:
    """Name the generator: another digest, perhaps other pictures for the same seed.

    Returns:
        SHA-256 over the source of this package and the versions of what draws, in hexadecimal.
    """
    digest = hashlib.sha256(f"{np.__version__} {PIL.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def jpeg_bytes(image: NDArray[np.uint8], quality: int) -> bytes:
    """Compresses a picture as the real ones are: baseline JPEG, chroma halved both ways.

    Args:
        image: Uint8 ``[H, W, 3]``, RGB.
        quality: 1..95.

    Returns:
        The file's bytes.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(
        buffer, "JPEG", quality=quality, subsampling="4:2:0"
    )
    return buffer.getvalue()


def _quality(seed: int, slot: int) -> int:
    """JPEG quality: mostly 95 as in the real set, else anything from 75."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(slot, 99))))
    return 95 if rng.random() < 0.6 else int(rng.integers(75, 96))


def _write_atomic(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees all of it or none of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"{path} cannot be written: {error.strerror}; choose another folder or make room."
        ) from error


@dataclass(frozen=True)
class _Job:
    """One scene to render and write; small, so that it travels to a worker process."""

    images: Path
    seed: int
    scene: int
    windows: int
    empty_share: float
    prefix: str


def _run(job: _Job) -> list[tuple[str, list[str]]]:
    """Renders a scene and writes its windows.

    Returns:
        Name and run-length masks of each picture, in order.
    """
    rows = []
    windows = render_windows(job.seed, job.scene, empty_share=job.empty_share)
    for number, window in enumerate(windows[: job.windows]):
        slot = job.scene * _SLOTS + number
        name = image_name(job.seed, slot, job.prefix)
        data = jpeg_bytes(window.image, _quality(job.seed, slot))
        _write_atomic(job.images / name, data)
        rows.append((name, [rle.encode(instance.full()) for instance in window.instances]))
    return rows


def _jobs(images: Path, count: int, seed: int, empty_share: float, prefix: str) -> Iterator[_Job]:
    """Lists the scenes that make up ``count`` pictures; the last may be cut short."""
    left, scene = count, 0
    while left > 0:
        windows = min(left, plan_scene(seed, scene, empty_share).windows)
        yield _Job(images, seed, scene, windows, empty_share, prefix)
        left -= windows
        scene += 1


def _results(jobs: Iterator[_Job], workers: int) -> Iterator[list[tuple[str, list[str]]]]:
    """Runs the jobs, in this process or in several, and yields results in order."""
    if workers <= 1:
        for job in jobs:
            yield _run(job)
        return
    # Spawned, not forked: a parent with running threads (torch, a web server) must not be copied.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending: list[Future[list[tuple[str, list[str]]]]] = []
        for job in jobs:
            pending.append(pool.submit(_run, job))
            if len(pending) >= 4 * workers:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()


def _check_arguments(out: Path, count: int, seed: int, empty_share: float, prefix: str) -> None:
    """Refuses arguments that cannot be used."""
    if count < 1:
        raise InputError(f"count is {count}, but at least 1 image must be asked for.")
    if seed < 0:
        raise InputError(f"seed is {seed}, but seeds are counted from 0.")
    if not 0.0 <= empty_share <= 1.0:
        raise InputError(f"empty_share is {empty_share}, but a share lies between 0 and 1.")
    if prefix.startswith(".") or any(c in prefix for c in '/\\,"\0\n\r'):
        raise InputError(
            f"prefix is {prefix!r}, but it must be usable at the start of a file name."
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder to write the scenes into.")


def _check_folder(images: Path, names: set[str]) -> None:
    """Refuses a folder of pictures whose labels the new CSV would drop."""
    if not images.is_dir():
        return
    for path in sorted(images.iterdir()):
        if path.name not in names and not path.name.startswith("."):
            raise InputError(
                f"{images} already holds {path.name}, which is not part of this data set, and "
                f"{CSV_NAME} would no longer list it; choose another folder or empty this one."
            )


def write_dataset(
    out: Path,
    *,
    count: int,
    seed: int = 0,
    empty_share: float = 0.75,
    faults: bool = False,
    unlabelled: bool = False,
    prefix: str = "",
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
) -> DatasetSummary:
    """Writes a data set of synthetic scenes.

    The same arguments give the same bytes, whatever ``workers`` is; a larger ``count`` only adds
    pictures. Running it again in the same folder rewrites the same files.

    Args:
        out: Folder; gets ``images/*.jpg`` and, unless ``unlabelled``, the CSV.
        count: Number of good pictures.
        seed: Seed, 0 or more.
        empty_share: Expected share of pictures without boats, 0..1.
        faults: Also mix in damaged files and damaged CSV rows.
        unlabelled: Write no CSV, as for newly arriving images.
        prefix: Put before every file name.
        progress: Called with pictures done and pictures in all.
        workers: Processes to render with; 1 renders in this one.

    Returns:
        What was written.

    Raises:
        InputError: An argument is out of range, or ``out/images`` holds files that are not part
            of this data set.
    """
    out = Path(out)
    images = out / "images"
    _check_arguments(out, count, seed, empty_share, prefix)
    bad_files = list(fault_files(seed, count)) if faults else []
    bad_names = [f"{prefix}{bad.stem}.jpg" for bad in bad_files]
    if not unlabelled:
        _check_folder(
            images,
            {
                image_name(seed, job.scene * _SLOTS + number, prefix)
                for job in _jobs(images, count, seed, empty_share, prefix)
                for number in range(job.windows)
            }.union(bad_names),
        )
    try:
        images.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{images} cannot be created: {error.strerror}.") from error

    rows: list[tuple[str, str]] = []
    good: list[tuple[str, bool]] = []
    boats = empty = 0
    for result in _results(_jobs(images, count, seed, empty_share, prefix), workers):
        for name, masks in result:
            rows.extend((name, mask) for mask in masks or [""])
            good.append((name, bool(masks)))
            boats += len(masks)
            empty += not masks
        if progress is not None:
            progress(len(good), count)

    found: list[tuple[str, str]] = []
    for name, bad in zip(bad_names, bad_files, strict=True):
        _write_atomic(images / name, bad.data)
        rows.append((name, ""))
        found.append((name, bad.kind))
    if unlabelled:
        return DatasetSummary(len(good), 0, empty, found, None)
    if faults:
        rows, bad_rows = fault_rows(seed, rows, good, prefix)
        found.extend(bad_rows)
        boats = sum(1 for _, mask in rows if mask) - len(bad_rows)
    # The real file is sorted by name, which scatters the windows of a scene.
    rows.sort(key=lambda row: row[0])
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(HEADER)
    sheet.writerows(rows)
    path = out / CSV_NAME
    _write_atomic(path, text.getvalue().encode())
    return DatasetSummary(len(good), boats, empty, found, path)

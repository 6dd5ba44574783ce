"""A whole data set: JPEGs and one CSV in the layout of the real one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from boatseg_core.errors import InputError
from boatseg_core.synth.files.faults import fault_files, fault_rows
from boatseg_core.synth.files.names import SLOTS, image_name
from boatseg_core.synth.files.pictures import plan_jobs, run_jobs, write_atomic

__all__ = ["CSV_NAME", "DatasetSummary", "write_dataset"]

CSV_NAME = "train_ship_segmentations_v2.csv"
"""Name of the label file in the real data set."""
HEADER = ("ImageId", "EncodedPixels")


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
                image_name(seed, job.scene * SLOTS + number, prefix)
                for job in plan_jobs(images, count, seed, empty_share, prefix)
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
    for result in run_jobs(plan_jobs(images, count, seed, empty_share, prefix), workers):
        for name, masks in result:
            rows.extend((name, mask) for mask in masks or [""])
            good.append((name, bool(masks)))
            boats += len(masks)
            empty += not masks
        if progress is not None:
            progress(len(good), count)

    found: list[tuple[str, str]] = []
    for name, bad in zip(bad_names, bad_files, strict=True):
        write_atomic(images / name, bad.data)
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
    write_atomic(path, text.getvalue().encode())
    return DatasetSummary(len(good), boats, empty, found, path)

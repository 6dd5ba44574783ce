"""Rendering scenes and writing their windows, in this process or in several."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boatseg_core.errors import InputError
from boatseg_core.imaging import rle
from boatseg_core.synth.files.names import SLOTS, image_name
from boatseg_core.synth.plan import plan_scene
from boatseg_core.synth.scene import render_windows

__all__ = ["Job", "jpeg_bytes", "plan_jobs", "run_jobs", "write_atomic"]


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


def write_atomic(path: Path, data: bytes) -> None:
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
class Job:
    """One scene to render and write; small, so that it travels to a worker process."""

    images: Path
    seed: int
    scene: int
    windows: int
    empty_share: float
    prefix: str


def _run(job: Job) -> list[tuple[str, list[str]]]:
    """Renders a scene and writes its windows.

    Returns:
        Name and run-length masks of each picture, in order.
    """
    rows = []
    windows = render_windows(job.seed, job.scene, empty_share=job.empty_share)
    for number, window in enumerate(windows[: job.windows]):
        slot = job.scene * SLOTS + number
        name = image_name(job.seed, slot, job.prefix)
        data = jpeg_bytes(window.image, _quality(job.seed, slot))
        write_atomic(job.images / name, data)
        rows.append((name, [rle.encode(instance.full()) for instance in window.instances]))
    return rows


def plan_jobs(
    images: Path, count: int, seed: int, empty_share: float, prefix: str
) -> Iterator[Job]:
    """Lists the scenes that make up ``count`` pictures; the last may be cut short."""
    left, scene = count, 0
    while left > 0:
        windows = min(left, plan_scene(seed, scene, empty_share).windows)
        yield Job(images, seed, scene, windows, empty_share, prefix)
        left -= windows
        scene += 1


def run_jobs(jobs: Iterator[Job], workers: int) -> Iterator[list[tuple[str, list[str]]]]:
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

"""boatseg's loader, and its limits; runs in the project's own environment.

Prints one JSON line: what was asked for is the first argument, ``first``, ``cached``, ``limit``
(the decode calls on bytes in memory, nothing else) or ``reading`` (the reads of a cached epoch into
memory that is used again, nothing else).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from loading import Batch, Job, job, timed

from boatseg_core.dataset import GoldDataset
from boatseg_core.imaging.scaled import image_at, mask_at
from boatseg_core.lake import Lake


def tensors(loader: Any) -> Iterator[Batch]:
    for batch in loader:
        numbers = [int(name.removesuffix(".jpg")) for name in batch["image_id"]]
        yield batch["image"], batch["mask"], numbers


def options(job: Job) -> dict[str, Any]:
    return {
        "size": job.size,
        "batch_size": job.batch,
        "threads": job.workers,
        "drop_last": False,
        "cache": job.work,
    }


def first(job: Job) -> dict[str, Any]:
    """The first epoch, from opening the lake on, and resuming in its middle."""
    # Importing does not count, and what Pillow imports with the first picture is no different.
    _, image, _ = next(job.pairs())
    image_at(image, 8, 8)

    def load() -> Iterator[Batch]:
        return tensors(GoldDataset(Lake(str(job.gold.parent))).torch(**options(job)))

    result = timed(load)
    loader = GoldDataset(Lake(str(job.gold.parent))).torch(**options(job))
    batches = iter(loader)
    for _ in range(len(loader) // 2):
        next(batches)
    state = loader.state_dict()
    del batches
    start = time.perf_counter()
    other = GoldDataset(Lake(str(job.gold.parent))).torch(**options(job))
    other.load_state_dict(state)
    next(iter(other))
    return result | {"resume": time.perf_counter() - start}


def cached(job: Job) -> dict[str, Any]:
    """An epoch of a process that finds its images decoded."""
    for _ in GoldDataset(Lake(str(job.gold.parent))).torch(**options(job), decoded=True):
        pass
    loader = GoldDataset(Lake(str(job.gold.parent))).torch(**options(job), decoded=True)
    found = [timed(lambda: tensors(loader)) for _ in range(3)]
    # The first of them also verifies every checksum; pixels are looked at in between.
    verifying = found[0]["seconds"]
    return min(found, key=lambda each: each["seconds"]) | {"verifying": verifying}


def limit(job: Job) -> dict[str, Any]:
    pairs = list(job.pairs())
    chunk = 8

    def decode(start: int) -> None:
        for _, image, mask in pairs[start : start + chunk]:
            image_at(image, job.size, job.size)
            mask_at(mask, job.size, job.size)

    with ThreadPoolExecutor(job.workers) as pool:
        list(pool.map(decode, range(0, min(len(pairs), 64), chunk)))
        start = time.perf_counter()
        list(pool.map(decode, range(0, len(pairs), chunk)))
        return {"seconds": time.perf_counter() - start, "images": len(pairs)}


def reading(job: Job) -> dict[str, Any]:
    count = sum(1 for _ in job.files.glob("*.jpg"))
    record = 4 * job.size * job.size
    path = job.work / "reading"
    path.write_bytes(os.urandom(record) * count)
    order = np.random.default_rng(0).permutation(count).tolist()

    def read(part: list[int]) -> None:
        into = bytearray(record)
        with path.open("rb") as file:
            for number in part:
                os.preadv(file.fileno(), [into], number * record)

    parts = [order[i :: job.workers] for i in range(job.workers)]
    best = float("inf")
    with ThreadPoolExecutor(job.workers) as pool:
        for _ in range(4):
            start = time.perf_counter()
            list(pool.map(read, parts))
            best = min(best, time.perf_counter() - start)
    path.unlink()
    return {"seconds": best, "images": count}


KINDS = {"first": first, "cached": cached, "limit": limit, "reading": reading}

if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    kind = KINDS[sys.argv.pop(1)]
    print(json.dumps(kind(job())), flush=True)

"""WebDataset: tar shards, a shuffle buffer of 1,000, two worker processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import webdataset as wds
from loading import Batch, Job, job, run


def prepare(job: Job) -> None:
    pairs = list(job.pairs())
    most = min(250, max(1, len(pairs) // 8))  # it wants more shards than workers
    with wds.ShardWriter(str(job.work / "%06d.tar"), maxcount=most, verbose=0) as sink:
        for number, image, mask in pairs:
            sink.write({"__key__": f"{number:05}", "jpg": image, "png": mask})


def load(job: Job) -> Iterable[Batch]:
    shards = sorted(str(path) for path in job.work.glob("*.tar"))
    data = wds.WebDataset(shards, shardshuffle=len(shards)).shuffle(1000)

    def ours(sample: dict[str, Any]) -> tuple[Any, Any, int]:
        return job.image(sample["jpg"]), job.mask(sample["png"]), int(sample["__key__"])

    def theirs(sample: dict[str, Any]) -> tuple[Any, Any, int]:
        return job.image_of(sample["jpg"]), job.mask_of(sample["png"]), int(sample["__key__"])

    data = data.map(ours) if job.ours else data.decode("pil").map(theirs)
    return wds.WebLoader(data.batched(job.batch), batch_size=None, num_workers=job.workers)


run(job(), prepare, load)

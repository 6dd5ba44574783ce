"""Hugging Face datasets: Parquet with Image columns, set_transform, a shuffling DataLoader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import datasets
import torch  # noqa: TID253
from loading import Batch, Job, job, run
from torch.utils.data import DataLoader  # noqa: TID253


def prepare(job: Job) -> None:
    def rows() -> Iterable[dict[str, Any]]:
        for number, image, mask in job.pairs():
            yield {"number": number, "image": {"bytes": image}, "mask": {"bytes": mask}}

    kinds = datasets.Features(
        {"number": datasets.Value("int64"), "image": datasets.Image(), "mask": datasets.Image()}
    )
    data = datasets.Dataset.from_generator(
        rows, features=kinds, cache_dir=str(job.work / "generated")
    )
    data.save_to_disk(str(job.work / "disk"))


def load(job: Job) -> Iterable[Batch]:
    data = datasets.load_from_disk(str(job.work / "disk"))
    if job.ours:
        data = data.cast_column("image", datasets.Image(decode=False))
        data = data.cast_column("mask", datasets.Image(decode=False))

    def transform(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        pairs = zip(rows["image"], rows["mask"], strict=True)
        if job.ours:
            done = [(job.image(i["bytes"]), job.mask(m["bytes"])) for i, m in pairs]
        else:
            done = [(job.image_of(i), job.mask_of(m)) for i, m in pairs]
        images, masks = zip(*done, strict=True)
        return {"image": list(images), "mask": list(masks), "number": rows["number"]}

    data.set_transform(transform)
    loader = DataLoader(data, batch_size=job.batch, shuffle=True, num_workers=job.workers)
    return ((b["image"], b["mask"], b["number"]) for b in loader)


if __name__ == "__main__":
    torch.manual_seed(0)
    run(job(), prepare, load)

"""deltatorch: the Delta table with an id column, its own DataLoader with two workers."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from deltatorch import FieldSpec, create_pytorch_dataloader
from loading import Batch, Job, job, run
from PIL import Image


def prepare(job: Job) -> None:
    rows = list(job.pairs())
    for start in range(0, len(rows), 250):
        number, image, mask = zip(*rows[start : start + 250], strict=True)
        table = pa.table(
            {
                "id": pa.array(range(start, start + len(number)), pa.int64()),
                "number": pa.array(number, pa.int64()),
                "image": pa.array(image, pa.binary()),
                "mask": pa.array(mask, pa.binary()),
            }
        )
        write_deltalake(str(job.work / "table"), table, mode="append")


def load(job: Job) -> Iterable[Batch]:
    def picture(data: Any) -> Any:
        return data if isinstance(data, Image.Image) else Image.open(io.BytesIO(data))

    theirs = not job.ours
    fields = [
        FieldSpec("number"),
        FieldSpec(
            "image", load_image_using_pil=theirs, transform=job.image_of if theirs else job.image
        ),
        FieldSpec(
            "mask", load_image_using_pil=theirs, transform=job.mask_of if theirs else job.mask
        ),
    ]
    loader = create_pytorch_dataloader(
        str(job.work / "table"),
        id_field="id",
        fields=fields,
        shuffle=True,
        batch_size=job.batch,
        num_workers=job.workers,
    )
    return ((b["image"], b["mask"], b["number"]) for b in loader)


if __name__ == "__main__":
    run(job(), prepare, load)

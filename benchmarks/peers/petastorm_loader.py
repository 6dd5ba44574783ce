"""Petastorm: make_batch_reader over Parquet, TransformSpec, its DataLoader with a queue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from loading import Batch, Job, job, run
from petastorm import TransformSpec, make_batch_reader
from petastorm.pytorch import DataLoader


def prepare(job: Job) -> None:
    rows = list(job.pairs())
    for start in range(0, len(rows), 1000):
        number, image, mask = zip(*rows[start : start + 1000], strict=True)
        table = pa.table(
            {
                "number": pa.array(number, pa.int64()),
                "image": pa.array(image, pa.binary()),
                "mask": pa.array(mask, pa.binary()),
            }
        )
        path = job.work / f"{start:06}.parquet"
        pq.write_table(table, path, row_group_size=64, compression="none", use_dictionary=False)


def load(job: Job) -> Iterable[Batch]:
    side = job.size

    def transform(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "number": frame["number"],
                "image": [np.ascontiguousarray(job.image(data).numpy()) for data in frame["image"]],
                "mask": [job.mask(data).numpy() for data in frame["mask"]],
            }
        )

    spec = TransformSpec(
        transform,
        edit_fields=[
            ("image", np.uint8, (3, side, side), False),
            ("mask", np.uint8, (1, side, side), False),
        ],
        selected_fields=["number", "image", "mask"],
    )
    reader: Any = make_batch_reader(
        job.work.as_uri(),
        transform_spec=spec,
        num_epochs=1,
        shuffle_row_groups=True,
        workers_count=job.workers,
    )
    loader = DataLoader(reader, batch_size=job.batch, shuffling_queue_capacity=1000)
    return ((b["image"], b["mask"], b["number"]) for b in loader)


if __name__ == "__main__":
    run(job(), prepare, load)

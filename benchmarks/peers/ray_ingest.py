"""Ray Data: read_binary_files, map_batches with Pillow, Parquet."""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np
import ray  # noqa: TID253 -- this process has no other purpose
from picture import measure, run

threads, warm_up, data, out = sys.argv[1:]
ray.init(
    num_cpus=int(threads),
    include_dashboard=False,
    log_to_driver=False,
    logging_level=logging.ERROR,
)
ray.data.DataContext.get_current().enable_progress_bars = False


def measured(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    rows = [measure(value) for value in batch["bytes"]]
    width, height, sha256, histogram = zip(*rows, strict=True)
    return {
        "path": batch["path"],
        "content": batch["bytes"],
        "width": np.array(width, dtype=np.int32),
        "height": np.array(height, dtype=np.int32),
        "sha256": np.array(sha256, dtype=object),
        "histogram": np.array(histogram, dtype=object),
    }


def ingest(folder: str, to: str) -> None:
    files = ray.data.read_binary_files(folder, include_paths=True)
    files.map_batches(measured, batch_size=64).write_parquet(to, compression="none")


run(ingest, warm_up, data, out)
ray.shutdown()

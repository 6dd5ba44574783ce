"""Daft: from_glob_path, download, a batch function with Pillow, Parquet."""

from __future__ import annotations

import os
import sys

os.environ["DAFT_PROGRESS_BAR"] = "0"
os.environ["DO_NOT_TRACK"] = "true"

import daft
from daft import DataType, Series, col
from picture import measure, run

threads, warm_up, data, out = sys.argv[1:]
FIELDS = {
    "width": DataType.int32(),
    "height": DataType.int32(),
    "sha256": DataType.string(),
    "histogram": DataType.binary(),
}


@daft.func.batch(return_dtype=DataType.struct(FIELDS), batch_size=64, unnest=True)
def measured(content: Series) -> list[dict[str, object]]:
    return [dict(zip(FIELDS, measure(value), strict=True)) for value in content.to_pylist()]


def ingest(folder: str, to: str) -> None:
    files = daft.from_glob_path(f"{folder}/*.jpg").with_column("content", col("path").download())
    files.select(col("path"), col("content"), measured(col("content"))).write_parquet(
        to, compression="uncompressed"
    )


run(ingest, warm_up, data, out)

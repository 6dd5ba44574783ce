"""Spark: the binaryFile source, a pandas_udf with Pillow, Parquet. ``local[N]``.

Twice: with Spark's own defaults, as a first job is written, and with the settings that somebody who
knows Spark would change for pictures (``tuned``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Spark's Python workers would be whatever python3 the path has, without this folder.
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["PYTHONPATH"] = str(Path(__file__).parent)

import pandas as pd
from picture import measure, run
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, pandas_udf

TUNED = {
    # Tasks of some 100 files: with the defaults, a task has four, and starting it costs more.
    "spark.sql.files.maxPartitionBytes": "16m",
    "spark.sql.files.openCostInBytes": "0",
    # Rows of 150 kB: with such tasks, the default of 10,000 would make batches of the whole task.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "128",
    # As ours: JPEGs do not compress, and trying costs time.
    "spark.sql.parquet.compression.codec": "uncompressed",
}

threads, warm_up, data, out, *how = sys.argv[1:]
builder = (
    SparkSession.builder.master(f"local[{threads}]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "4g")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.ui.showConsoleProgress", "false")
)
for name, value in TUNED.items() if how == ["tuned"] else ():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")


@pandas_udf("width int, height int, sha256 string, histogram binary")
def measured(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
    for content in batches:
        rows = [measure(bytes(value)) for value in content]
        yield pd.DataFrame(rows, columns=["width", "height", "sha256", "histogram"])


def ingest(folder: str, to: str) -> None:
    files = spark.read.format("binaryFile").load(folder)
    rows = files.withColumn("measured", measured(col("content"))).select(
        "path", "length", "content", "measured.*"
    )
    rows.write.parquet(to)


run(ingest, warm_up, data, out)
spark.stop()

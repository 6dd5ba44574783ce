"""SQL over a gold table with pictures: counting and averaging must not read a picture.

``SELECT count(*)`` and ``avg(boat_count)`` (and a group, and a filter on one partition) on 100,000
rows in 100 batches, in a process that has the lake open as a notebook has. The limit is DuckDB's
own Parquet reader on the very same files (``read_parquet``), which knows neither versions nor which
files are current; the peer is ``polars.scan_delta``. Bytes read are counted by the system. Pictures
are 20 kB of random bytes (``--picture`` for others): no query here should notice.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from _common import arguments, interleave, peak_rss_mb, report, say, scratch

from boatseg_core.lake import TABLES, Lake
from boatseg_core.lake.sql_snapshots import bytes_read

BATCH = 1000
QUERIES = {
    "count": "SELECT count(*) FROM gold_dataset",
    "avg": "SELECT avg(boat_count) FROM gold_dataset",
    "group": "SELECT split, count(*), avg(boat_area) FROM gold_dataset GROUP BY split ORDER BY 1",
    "batch": "SELECT count(*) FROM gold_dataset WHERE batch_id = 'b0003' AND boat_count > 1",
}


def write_gold(lake: Lake, batches: int, picture: int) -> None:
    """Write batches of gold with random pictures."""
    schema = TABLES["gold_dataset"].schema
    rng = np.random.default_rng(0)
    for number in range(batches):
        batch_id = f"b{number:04}"
        boats = rng.poisson(0.5, BATCH)
        rows: dict[str, list[Any]] = {
            "image_id": [f"{batch_id}-{i:04}.jpg" for i in range(BATCH)],
            "batch_id": [batch_id] * BATCH,
            "image": [rng.bytes(picture) for _ in range(BATCH)],
            "mask": [rng.bytes(600) for _ in range(BATCH)],
            "boat_count": boats.tolist(),
            "boat_area": (200 * boats).tolist(),
            "split": rng.choice(["train", "valid", "test"], BATCH, p=[0.7, 0.15, 0.15]).tolist(),
        }
        empty = [None] * BATCH
        columns = [pa.array(rows.get(field.name, empty), field.type) for field in schema]
        lake.replace_batch("gold_dataset", batch_id, pa.table(columns, schema=schema))


def contestants(lake: Lake) -> dict[str, Callable[[str], pl.DataFrame]]:
    """Ways to ask; each opens what it needs anew at every call."""
    files = str(Path(lake.root) / "gold_dataset" / "batch_id=*" / "*.parquet")
    view = f"read_parquet('{files}', hive_partitioning = true)"

    def direct(name: str) -> pl.DataFrame:
        with duckdb.connect() as connection:
            return connection.sql(QUERIES[name].replace("gold_dataset", view)).pl()

    def scanned(name: str) -> pl.DataFrame:
        frame = pl.scan_delta(lake.uri("gold_dataset"))
        match name:
            case "count":
                frame = frame.select(pl.len())
            case "avg":
                frame = frame.select(pl.col("boat_count").mean())
            case "group":
                columns = pl.len(), pl.col("boat_area").mean()
                frame = frame.group_by("split").agg(*columns).sort("split")
            case _:
                wanted = (pl.col("batch_id") == "b0003") & (pl.col("boat_count") > 1)
                frame = frame.filter(wanted).select(pl.len())
        return frame.collect()

    return {
        "ours": lambda name: lake.sql(QUERIES[name]).polars(),
        "limit": direct,
        "polars.scan_delta": scanned,
    }


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--picture", type=int, default=20_000, help="bytes of one picture")
    options = parser.parse_args()
    batches = 20 if options.quick else 100
    with scratch("sql") as home:
        lake = Lake(str(home / "lake"))
        say(f"writing {batches * BATCH:,} rows with pictures of {options.picture / 1000:g} kB")
        write_gold(lake, batches, options.picture)
        ways = contestants(lake)
        seconds: dict[str, dict[str, float]] = {way: {} for way in ways}
        read: dict[str, int | None] = {}
        for name in QUERIES:
            answers = {way: _values(ask(name)) for way, ask in ways.items()}
            if any(answer != answers["ours"] for answer in answers.values()):
                raise SystemExit(f"the answers to {name} differ: {answers}")
            before = bytes_read()
            ways["ours"](name)
            after = bytes_read()
            read[name] = None if before is None or after is None else after - before
            cases = {way: lambda ask=ask, name=name: ask(name) for way, ask in ways.items()}
            turns = interleave(cases, options.repeat or 5)
            for way, turn in turns.items():
                seconds[way][name] = turn.best
        command = _from_the_shell(home) if not options.quick else None
    asked = len(QUERIES)
    rate = {way: asked / sum(times.values()) for way, times in seconds.items()}
    report(
        {
            "name": "sql",
            "unit": "queries/s",
            "ours": round(rate["ours"], 2),
            "limit": round(rate["limit"], 2),
            "of_limit": round(rate["ours"] / rate["limit"], 3),
            "peers": {"polars.scan_delta": round(rate["polars.scan_delta"], 2)},
            "rows": batches * BATCH,
            "pictures_mb": round(batches * BATCH * options.picture / 1e6),
            "seconds": {name: round(value, 3) for name, value in seconds["ours"].items()},
            "seconds_from_the_shell": command,
            "bytes_read": read,
            "peak_rss_mb": round(peak_rss_mb()),
        },
        as_json=options.json,
    )


def _values(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return [
        tuple(round(v, 9) if isinstance(v, float) else v for v in row) for row in frame.iter_rows()
    ]


def _from_the_shell(home: Path) -> float:
    """Seconds of ``boatseg sql "SELECT count(*) ..."``, its start-up included."""
    lake = Lake(str(home / "lake"))
    lake.create("files")  # a home without it counts as empty
    command = [sys.executable, "-m", "boatseg_core.cli", "sql", QUERIES["count"]]
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([*command, "--home", str(home)], check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return round(min(times), 2)


if __name__ == "__main__":
    main()

"""Joining image and mask into gold, batch after batch.

The limit copies the same bytes from Delta to Delta: ``raw_images`` streamed and written again
through the same store, nothing joined. The peer joins in memory, as one would by hand: the two
tables of a batch read with polars, joined, and written with ``write_deltalake``. Pictures are
130 kB of random bytes, the size of the real set's JPEGs. Each runs in a process of its own, whose
peak memory is reported.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from _common import arguments, race, report, run_json, say, scratch

from boatseg_core.dataset.gold import build_gold
from boatseg_core.lake import TABLES, Lake

BATCH = 1000
PICTURE = 130_000  # bytes
MASK = 600


def write_silver(lake: Lake, batch_id: str) -> None:
    """Write one batch of everything that gold is made from."""
    rng = np.random.default_rng(int(batch_id[1:]))
    names = [f"{batch_id}-{i:04}.jpg" for i in range(BATCH)]
    both = {"image_id": names, "batch_id": [batch_id] * BATCH}
    size = {"width": [768] * BATCH, "height": [768] * BATCH}
    boats = rng.poisson(0.5, BATCH).tolist()

    def pictures() -> Iterator[pa.RecordBatch]:
        for start in range(0, BATCH, 50):
            part = {key: value[start : start + 50] for key, value in (both | size).items()}
            part["image"] = [rng.bytes(PICTURE) for _ in range(50)]
            part |= {"histogram": [bytes(3072)] * 50, "tiles": [bytes(288)] * 50}
            yield _rows("raw_images", part, 50).to_batches()[0]

    schema = TABLES["raw_images"].schema
    lake.replace_batch(
        "raw_images", batch_id, pa.RecordBatchReader.from_batches(schema, pictures())
    )
    tables: dict[str, dict[str, list[Any]]] = {
        "image_quality": {"passed": [True] * BATCH, "criteria": ["c"] * BATCH},
        "image_groups": {"group_id": names, "split": ["train"] * BATCH},
        "rasterized_masks": {
            **size,
            "mask": [rng.bytes(MASK) for _ in range(BATCH)],
            "boat_count": boats,
            "boat_area": [200 * count for count in boats],
            "boat_areas": [[200] * count for count in boats],
            "boat_boxes": [[[1, 2, 10, 20]] * count for count in boats],
            "rejected_rows": [0] * BATCH,
            "label_version": [1] * BATCH,
        },
    }
    for table, columns in tables.items():
        lake.replace_batch(table, batch_id, _rows(table, both | columns, BATCH))


def _rows(table: str, columns: dict[str, list[Any]], count: int) -> pa.Table:
    schema = TABLES[table].schema
    empty = [None] * count
    return pa.table([pa.array(columns.get(f.name, empty), f.type) for f in schema], schema=schema)


def copy(lake: Lake, target: Lake, batch_id: str) -> None:
    """Write a batch of ``raw_images`` again, elsewhere."""
    schema = TABLES["raw_images"].schema
    stream = (
        b.select(schema.names).cast(schema) for b in lake.batches("raw_images", batch_id=batch_id)
    )
    target.replace_batch("raw_images", batch_id, pa.RecordBatchReader.from_batches(schema, stream))


def by_hand(lake: Lake, target: Path, batch_id: str) -> None:
    """Join in memory and append with the writer's defaults."""
    from deltalake import write_deltalake

    images = lake.read("raw_images", ["image_id", "image", "width", "height"], batch_id=batch_id)
    masks = lake.read("rasterized_masks", batch_id=batch_id).drop("width", "height")
    drawn = lake.read("rasterized_masks", ["image_id", "mask"], batch_id=batch_id)
    groups = lake.read("image_groups", ["image_id", "group_id", "split"], batch_id=batch_id)
    joined = images.join(masks, on="image_id").join(drawn, on="image_id")
    rows = joined.join(groups, on="image_id")
    rows = rows.drop(name for name, kind in rows.schema.items() if kind == pl.Null)
    write_deltalake(str(target), rows.to_arrow(), mode="append", partition_by=["batch_id"])


def work(name: str, home: Path) -> dict[str, Any]:
    """One contestant, over all batches."""
    lake = Lake(str(home / "lake"))
    batches = sorted(lake.counts("raw_images"))
    with scratch("gold-copy") as folder:
        target = Lake(str(folder))
        cases = {
            "ours": lambda batch: build_gold(lake, batch),
            "limit": lambda batch: copy(lake, target, batch),
            "polars join": lambda batch: by_hand(lake, folder / "gold", batch),
        }
        begin = time.perf_counter()
        for batch in batches:
            cases[name](batch)
        seconds = time.perf_counter() - begin
    return {"images_per_s": len(batches) * BATCH / seconds}


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "HOME"), help="(internal)")
    options = parser.parse_args()
    if options.worker:
        report(work(options.worker[0], Path(options.worker[1])), as_json=True)
        return
    count = 3 if options.quick else 10
    contestants = [n for n in ("ours", "limit", "polars join") if n in (options.only or [n])]
    with scratch("gold") as home:
        say(f"writing {count * BATCH:,} pictures of {PICTURE // 1000} kB")
        for number in range(count):
            write_silver(Lake(str(home / "lake")), f"b{number:03}")
        turns = race(
            {
                name: lambda name=name: run_json(
                    [sys.executable, __file__, "--worker", name, str(home)]
                )
                for name in contestants
            },
            options.repeat or (2 if options.quick else 5),
        )
    # The best turn of each: the one least disturbed by the rest of the machine.
    rates = {name: max(turn["images_per_s"] for turn in turns[name]) for name in contestants}
    memory = {name: max(turn["peak_rss_mb"] for turn in turns[name]) for name in contestants}
    result: dict[str, Any] = {"name": "gold", "unit": "images/s"}
    if "ours" in rates:
        result["ours"] = round(rates["ours"], 1)
        result["peak_rss_mb"] = round(memory["ours"])
    if {"ours", "limit"} <= set(rates):
        result |= {
            "limit": round(rates["limit"], 1),
            "of_limit": round(rates["ours"] / rates["limit"], 3),
        }
    peers = {name: rate for name, rate in rates.items() if name not in ("ours", "limit")}
    result["peers"] = {name: round(rate, 1) for name, rate in peers.items()}
    result["peers_peak_rss_mb"] = {name: round(memory[name]) for name in peers}
    report(result, as_json=options.json)


if __name__ == "__main__":
    main()

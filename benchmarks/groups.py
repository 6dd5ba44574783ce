"""Grouping images that show the same place: batches of 1,000 arriving one after another.

Two figures in one run. The speed of ``group_batch`` on a lake whose fingerprints are generated
(windows of scenes of 1 to 9 at stride 256, one tile in three without texture, bits flipped as JPEG
recompression flips them), from which the time for 200,000 images is extrapolated: seconds a batch
are fitted by a line over the number of images there already, and the line is summed up. And the
quality on windows that are really drawn and compressed at JPEG qualities 75 to 95: pairs that share
a textured tile and are found to overlap directly, without a third image between them, the pairs
that end up in one group, and the pairs joined falsely.

The limit is the time to read the same narrow columns of all batches, once a batch: what any
method that keeps no index beside the tables has to do. The peer compares all pairs (numpy, xor and
bit count), timed on a sample of the new images.
"""

from __future__ import annotations

import io
import math
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from _common import arguments, peak_rss_mb, report, run_json, say, scratch
from PIL import Image

from boatseg_core.config import load_settings
from boatseg_core.dataset.groups import UnionFind, group_batch
from boatseg_core.dataset.overlap import TileGrid, overlapping_images
from boatseg_core.imaging.fingerprint import tile_fingerprints
from boatseg_core.lake import TABLES, Lake
from boatseg_core.synth import render_windows
from boatseg_core.synth.plan import plan_scene

BATCH = 1000
GOAL = 200_000
_NARROW = ["image_id", "batch_id", "sha256", "width", "tiles"]
# Of 256 bits, between two JPEGs of one tile: see boatseg_core.dataset.similarity.
_FLIP_MEAN, _FLIP_SPREAD = 19 / 256, 9 / 256


def scenes(rng: np.random.Generator, count: int) -> tuple[list[bytes], list[int]]:
    """Fingerprints of windows in the order of arrival, and the scene of each."""
    tiles: list[bytes] = []
    scene_of: list[int] = []
    scene = 0
    while len(tiles) < count:
        down, across = rng.choice([1, 1, 1, 2, 3], 2)
        place = rng.integers(0, 256, (down + 2, across + 2, 32), dtype=np.uint8)
        place[rng.random(place.shape[:2]) < 1 / 3] = 0
        for y in range(down):
            for x in range(across):
                tiles.append(recompressed(rng, place[y : y + 3, x : x + 3].reshape(9, 32)))
                scene_of.append(scene)
        scene += 1
    order = rng.permutation(len(tiles))[:count]
    return [tiles[i] for i in order], [scene_of[i] for i in order]


def recompressed(rng: np.random.Generator, prints: np.ndarray) -> bytes:
    """Flip as many bits of each tile as JPEG does; half of a pair's flips are each one's own."""
    share = np.clip(rng.normal(_FLIP_MEAN, _FLIP_SPREAD, (len(prints), 1)), 0, 0.25) / 2
    flips = np.packbits(rng.random((len(prints), 256)) < share, axis=1)
    flips[~prints.any(axis=1)] = 0
    return (prints ^ flips).tobytes()


def write_batch(lake: Lake, batch_id: str, names: list[str], tiles: list[bytes]) -> None:
    """A batch of raw_images whose pictures are a few bytes: nothing here reads them."""
    columns: dict[str, list[Any]] = {
        "image_id": names,
        "batch_id": [batch_id] * len(names),
        "sha256": [f"{batch_id}/{name}" for name in names],
        "image": [b"not read"] * len(names),
        "width": [768] * len(names),
        "height": [768] * len(names),
        "tiles": tiles,
    }
    schema = TABLES["raw_images"].schema
    empty = [None] * len(names)
    lake.replace_batch(
        "raw_images",
        batch_id,
        pa.table([pa.array(columns.get(f.name, empty), f.type) for f in schema], schema=schema),
    )


def speed(home: Path, count: int) -> dict[str, Any]:
    """Group ``count`` images batch after batch, in this process."""
    settings = load_settings(home=home)
    settings.paths.create()
    lake = Lake.from_settings(settings)
    tiles, scene_of = scenes(np.random.default_rng(0), count)
    names = [f"{i:06}.jpg" for i in range(count)]
    seconds, reading = [], []
    for start in range(0, count, BATCH):
        batch_id = f"b{start:07}"
        part = slice(start, start + BATCH)
        write_batch(lake, batch_id, names[part], tiles[part])
        begin = time.perf_counter()
        group_batch(lake, batch_id, settings)
        seconds.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        lake.read("raw_images", _NARROW)
        reading.append(time.perf_counter() - begin)
    found = lake.read("image_groups").sort("image_id")
    joined = found.with_columns(scene=pl.Series(scene_of)).filter(pl.col("split") != "excluded")
    return {
        "images": count,
        "seconds": sum(seconds),
        "for_goal": _extrapolated(seconds),
        "reading": sum(reading),
        "peak_rss_mb": peak_rss_mb(),
        "excluded": int((found["split"] == "excluded").sum()),
        "mixed_groups": joined.group_by("group_id")
        .agg(pl.col("scene").n_unique())
        .filter(pl.col("scene") > 1)
        .height,
        "first_batch": seconds[0],
        "last_batch": seconds[-1],
    }


def _extrapolated(seconds: list[float]) -> float:
    """Seconds for the goal: the line through seconds a batch, summed over its batches."""
    at = np.arange(len(seconds))
    slope, base = np.polyfit(at, seconds, 1) if len(seconds) > 2 else (0.0, max(seconds))
    batches = np.arange(math.ceil(GOAL / BATCH))
    return float(np.maximum(base + slope * batches, min(seconds)).sum())


def all_pairs(count: int) -> float:
    """Images a second when each is compared with all tiles of the goal."""
    rng = np.random.default_rng(1)
    known = rng.integers(0, 2**63, (GOAL * 6, 4), dtype=np.uint64)
    new = rng.integers(0, 2**63, (count * 6, 4), dtype=np.uint64)
    begin = time.perf_counter()
    for row in new:
        np.flatnonzero(np.bitwise_count(known ^ row).sum(axis=1) <= 72)
    return count / (time.perf_counter() - begin)


def quality(wanted: int) -> dict[str, float]:
    """Draw scenes of several windows, compress, and look for the overlaps."""
    rng = np.random.default_rng(2)
    prints: list[np.ndarray] = []
    where: list[tuple[int, int, int]] = []
    scene = -1
    while len(prints) < wanted:
        scene += 1
        if plan_scene(23, scene).windows < 2:
            continue
        for window in render_windows(23, scene):
            buffer = io.BytesIO()
            quality_ = int(rng.integers(75, 96))
            Image.fromarray(window.image).save(buffer, "JPEG", quality=quality_)
            with Image.open(buffer) as image:
                prints.append(tile_fingerprints(image.convert("L")).reshape(3, 3, -1))
            where.append((scene, window.top // 256, window.left // 256))
    truth = {
        (i, j)
        for i, j in combinations(range(len(where)), 2)
        if where[i][0] == where[j][0] and _shares_texture(prints, where, i, j)
    }
    frame = pl.DataFrame(
        {"tiles": [p.tobytes("C") for p in prints], "width": [768] * len(prints)},
        schema={"tiles": pl.Binary, "width": pl.Int32},
    )
    direct = {(a, b) for a, b in overlapping_images(TileGrid.of(frame)).tolist()}
    union = UnionFind(len(prints))
    for a, b in direct:
        union.union(a, b)
    grouped = {
        (i, j) for i, j in combinations(range(len(where)), 2) if union.find(i) == union.find(j)
    }
    false = {pair for pair in grouped if where[pair[0]][0] != where[pair[1]][0]}
    return {
        "windows": len(where),
        "pairs": len(truth),
        "pairs_found_directly": len(direct & truth) / len(truth),
        "pairs_joined": len(grouped & truth) / len(truth),
        "false_joins": len(false) / max(1, len(grouped)),
    }


def _shares_texture(
    prints: list[np.ndarray], where: list[tuple[int, int, int]], i: int, j: int
) -> bool:
    down, right = where[j][1] - where[i][1], where[j][2] - where[i][2]
    a = prints[i][max(0, down) : 3 + min(0, down), max(0, right) : 3 + min(0, right)]
    b = prints[j][max(0, -down) : 3 + min(0, -down), max(0, -right) : 3 + min(0, -right)]
    return bool((a.any(axis=2) & b.any(axis=2)).any())


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--images", type=int, default=0, help="images to group (default 20,000)")
    parser.add_argument("--worker", type=Path, help="(internal) group in this home and report")
    options = parser.parse_args()
    count = options.images or (5_000 if options.quick else 20_000)
    if options.worker:
        report(speed(options.worker, count), as_json=True)
        return
    with scratch("groups") as home:
        say(f"grouping {count:,} images in batches of {BATCH:,}")
        # A process of its own: the memory is the grouping's, not that of the drawing below.
        command = [sys.executable, __file__, "--worker", home, "--images", str(count)]
        ran = run_json(command, timeout=3600)
    took = ran.result
    say("drawing overlapping windows")
    found = quality(120 if options.quick else 900)
    peer = all_pairs(3 if options.quick else 10)
    report(
        {
            "name": "groups",
            "unit": "images/s",
            "ours": round(GOAL / took["for_goal"], 1),
            "limit": round(took["images"] / took["reading"], 1),
            "of_limit": round(took["reading"] / took["seconds"], 3),
            "peers": {"all pairs": round(peer, 2)},
            "images": took["images"],
            "minutes_for_200k": round(took["for_goal"] / 60, 2),
            "seconds_first_batch": round(took["first_batch"], 3),
            "seconds_last_batch": round(took["last_batch"], 3),
            "mixed_groups": took["mixed_groups"],
            "excluded": took["excluded"],
            **{key: round(value, 5) for key, value in found.items()},
            "peak_rss_mb": round(took["peak_rss_mb"]),
        },
        as_json=options.json,
    )


if __name__ == "__main__":
    main()

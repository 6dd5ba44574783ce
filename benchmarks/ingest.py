"""Ingestion beside its physical limit, Spark, Ray Data and Daft, on the same JPEGs.

Contestants, each a process of its own, taking turns; what does not count is start-up (an ingestion
of 32 files comes first):

- ``ours``: ``ingest_batch`` of every sealed batch, one after the other as in ``boatseg ingest``:
  decode in full, SHA-256, exact histogram, all measurements, bytes and all committed to Delta
  (listing and sealing: ``discovery.py``);
- ``fast``: the same with ``decode.mode = "entropy"``;
- ``limit``: as many threads decode with Pillow, take the SHA-256 and Pillow's histogram and write
  nothing: what everybody's calls can do on this machine;
- ``limit_own``: as many threads decode and measure with our own calls, SHA-256 included, and write
  nothing: what is left to gain around them;
- ``spark``, ``ray``, ``daft``: decode with Pillow, SHA-256, histogram; bytes and all to Parquet;
  ``spark_tuned`` with settings for pictures instead of Spark's defaults.

Files are in the page cache. Every contestant but ``fast`` has to prove its work: the digest over
all hashes and histograms must be the same, to the last bit. ``make bench-peers`` installs peers.

``cpu_of_limit`` compares processor time instead of time on the clock: it stays meaningful on a
machine that has other things to do, and it does not see waiting (for a disk, for each other).

The rates are those of the best turns. ``of_limit_turns`` holds ours against the limit turn by turn:
where these differ widely, the machine had other things to do.

With ``--large`` ten times as many files are ingested as well, to see whether memory is flat.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from _common import (
    ROOT,
    BenchmarkError,
    Finished,
    arguments,
    peak_rss_mb,
    peer_python,
    race,
    report,
    run_json,
    say,
    scratch,
    warm,
)

PEERS = ("spark", "spark_tuned", "ray", "daft")
OURS = ("ours", "fast", "limit", "limit_own")
WARM_UP = 32
SEED = 2018
IMAGES, QUICK = 2000, 300
LARGE = 10  # times as many images for the second look at memory


def main() -> None:
    """Run the benchmark, or, in a child process, one contestant."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--images", type=int, default=0, help="JPEGs, instead of 2,000")
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    parser.add_argument("--large", action="store_true", help="ten times as many, for memory")
    parser.add_argument("--data", type=Path, help="folder for the JPEGs, made once, then reused")
    parser.add_argument("--contestant", nargs=4, help=SUPPRESS)
    options = parser.parse_args()
    threads = options.threads or os.cpu_count() or 1
    if options.contestant:
        name, *folders = options.contestant
        print(json.dumps(compete(name, *map(Path, folders), threads=threads)), flush=True)
        return
    count = options.images or (QUICK if options.quick else IMAGES)
    folder = options.data or Path(tempfile.gettempdir()) / f"boatseg-bench-{SEED}-{count}"
    data = make_images(folder, count)
    wanted = [name for name in (*OURS, *PEERS) if not options.only or name in options.only]
    pythons = {name: peer_python(name.removesuffix("_tuned")) for name in PEERS if name in wanted}
    with scratch("ingest") as work:
        few = work / "few"
        populate(few, sorted(data.iterdir())[:WARM_UP])
        size = warm(sorted(data.iterdir()))
        cases: dict[str, Callable[[], Finished]] = {
            name: partial(start_ours, name, few, data, work, threads)
            for name in OURS
            if name in wanted
        }
        for name, python in pythons.items():
            if python:
                cases[name] = partial(start_peer, name, python, few, data, work, threads)
        say(f"{count} JPEGs, {size / 1e6:.0f} MB, {threads} threads, load {os.getloadavg()[0]:.1f}")
        turns = race(cases, options.repeat or (1 if options.quick else 3))
        result = summary(turns, count)
        if options.large and "ours" in wanted:
            result |= large(few, data, work, threads, result["peak_rss_mb"])
    report(
        result | {"threads": threads, "load": round(os.getloadavg()[0], 1)}, as_json=options.json
    )


def summary(turns: dict[str, list[dict[str, Any]]], count: int) -> dict[str, Any]:
    """Check the contestants' work and turn their best turns into one result."""
    proofs = {
        name: turn["proof"] for name, each in turns.items() for turn in each if "proof" in turn
    }
    if len(set(proofs.values())) > 1:
        raise BenchmarkError(f"the contestants did not measure the same pixels: {proofs}")
    rate: dict[str, float] = {}
    for name, each in turns.items():
        if any(turn["images"] != count for turn in each):
            raise BenchmarkError(f"{name} read {[t['images'] for t in each]} of {count} images")
        rate[name] = round(count / min(turn["seconds"] for turn in each), 1)

    cpu = {name: min(turn["cpu"] for turn in turns[name]) for name in OURS if name in turns}

    pairs = zip(turns.get("ours", []), turns.get("limit", []), strict=False)
    of_limit_turns = [round(limit["seconds"] / ours["seconds"], 3) for ours, limit in pairs]

    def ratio(of: str, by: str) -> float | None:
        return round(rate[of] / rate[by], 3) if of in rate and by in rate else None

    return {
        "name": "ingest",
        "unit": "images/s",
        "ours": rate.get("ours"),
        "fast": rate.get("fast"),
        "limit": rate.get("limit"),
        "of_limit": ratio("ours", "limit"),
        "of_limit_turns": of_limit_turns,
        "limit_own": rate.get("limit_own"),
        "of_limit_own": ratio("ours", "limit_own"),
        "cpu_of_limit": round(cpu["limit"] / cpu["ours"], 3)
        if {"limit", "ours"} <= set(cpu)
        else None,
        "of_spark": ratio("ours", "spark"),
        "fast_of_spark": ratio("fast", "spark"),
        "of_spark_tuned": ratio("ours", "spark_tuned"),
        "fast_of_spark_tuned": ratio("fast", "spark_tuned"),
        "peers": {name: rate[name] for name in PEERS if name in rate},
        "peak_rss_mb": max((t["peak_rss_mb"] for t in turns.get("ours", [])), default=None),
        "images": count,
        "native": all(turn.get("native", True) for each in turns.values() for turn in each),
    }


def large(few: Path, data: Path, work: Path, threads: int, small_rss: float) -> dict[str, Any]:
    """Ingest ten times the files (the same ones under other names) and compare peak memory."""
    many = work / "many"
    for copy_number in range(LARGE):
        populate(many / str(copy_number), data.iterdir())
    finished = start_ours("ours", few, many, work, threads)
    rss = finished.result["peak_rss_mb"]
    return {
        "large_images": finished.result["images"],
        "large_peak_rss_mb": rss,
        "large_rss_growth": round(rss / small_rss, 3),
    }


def compete(name: str, few: Path, data: Path, home: Path, *, threads: int) -> dict[str, Any]:
    """Be one of our own contestants, in a process of its own."""
    from boatseg_core.imaging.native import NATIVE

    prepare = (
        partial(limit, own=name == "limit_own")
        if name.startswith("limit")
        else partial(ingest, entropy=name == "fast")
    )
    prepare(few, home / "warm", threads)()
    run = prepare(data, home / "run", threads)
    start, cpu = time.perf_counter(), time.process_time()
    rows = run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = round(peak_rss_mb())
    if rows is None:  # ours: read back what was committed, outside the clock
        rows = committed(home / "run")
    result = {"images": len(rows), "seconds": seconds, "cpu": cpu, "peak_rss_mb": peak}
    result["native"] = NATIVE
    return result if name == "fast" else result | {"proof": proof(rows)}


def ingest(data: Path, home: Path, threads: int, *, entropy: bool) -> Callable[[], None]:
    """Seal a folder into a new home; what is returned ingests its batches."""
    from boatseg_core.ingest.ahead import Reading
    from boatseg_core.ingest.bronze import ingest_batch
    from boatseg_core.ingest.seal import seal

    settings, lake = open_home(data, home, threads, "entropy" if entropy else "full")
    batches = list(seal(lake, settings).batches)

    def run() -> None:
        with Reading(lake, settings, batches) as reading:  # as `boatseg ingest` does
            for batch in batches:
                found = ingest_batch(lake, batch, settings, reading=reading)
                if found.quarantined:
                    raise BenchmarkError(f"files were refused: {found.refused[:3]}")

    return run


def committed(home: Path) -> list[tuple[str, bytes]]:
    """Hashes and histograms of a home's images."""
    _, lake = open_home(home, home, 1, "full")
    return list(lake.read("raw_images", ["sha256", "histogram"]).iter_rows())


def open_home(data: Path, home: Path, threads: int, mode: str) -> tuple[Any, Any]:
    """Settings and lake of a home that lands its images from a folder."""
    from boatseg_core.config import load_settings
    from boatseg_core.lake import Lake

    settings = load_settings(
        home=home,
        landing={"images": str(data), "settle_seconds": 0},
        decode={"threads": threads, "mode": mode},
    )
    return settings, Lake.from_settings(settings)


def limit(
    data: Path, home: Path, threads: int, *, own: bool
) -> Callable[[], list[tuple[str, bytes]]]:
    """Read, decode, hash and count in threads, and write nothing."""
    import numpy as np

    from boatseg_core.imaging.decode import load_rgb, open_image
    from boatseg_core.imaging.measure import measure

    files = sorted(data.iterdir())

    def read(file: Path) -> tuple[str, bytes]:
        content = file.read_bytes()
        if own:
            found = measure(content)
            return found.sha256, found.histogram
        rgb = load_rgb(open_image(content))
        histogram = np.array(rgb.histogram(), dtype="<u4").tobytes()
        return hashlib.sha256(content).hexdigest(), histogram

    def run() -> list[tuple[str, bytes]]:
        rows: list[tuple[str, bytes]] = []
        waiting: deque[Future[tuple[str, bytes]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for file in files:
                waiting.append(pool.submit(read, file))
                if len(waiting) >= 4 * threads:
                    rows.append(waiting.popleft().result())
            rows += [each.result() for each in waiting]
        return rows

    return run


def proof(rows: list[tuple[str, bytes]]) -> str:
    """Digest of what was measured; ``peers/picture.py`` has the same."""
    digest = hashlib.sha256()
    for sha256, histogram in sorted(rows):
        digest.update(bytes.fromhex(sha256) + histogram)
    return digest.hexdigest()


def start_ours(name: str, few: Path, data: Path, work: Path, threads: int) -> Finished:
    """Run one of our own contestants on a new home."""
    with tempfile.TemporaryDirectory(dir=work) as home:
        me = [sys.executable, __file__, "--threads", str(threads)]
        return run_json([*me, "--contestant", name, few, data, home])


def start_peer(
    name: str, python: Path, few: Path, data: Path, work: Path, threads: int
) -> Finished:
    """Run a peer in its own environment."""
    with tempfile.TemporaryDirectory(dir=work) as out:
        plain = name.removesuffix("_tuned")
        script = ROOT / "benchmarks" / "peers" / f"{plain}_ingest.py"
        how = ["tuned"] if plain != name else []
        return run_json([python, script, str(threads), few, data, Path(out) / "tables", *how])


def populate(folder: Path, files: Iterable[Path]) -> None:
    """Make a folder with these files: links, or copies if it is on another disk."""
    folder.mkdir(parents=True)
    for file in files:
        try:
            os.link(file, folder / file.name)
        except OSError:
            shutil.copy(file, folder)


def make_images(folder: Path, count: int) -> Path:
    """Draw the JPEGs (768 x 768 pixels, quality 75 to 95), unless an earlier run has."""
    from boatseg_core.synth import write_dataset

    images = folder / "images"
    if not images.is_dir() or sum(1 for _ in images.iterdir()) != count:
        say(f"drawing {count} JPEGs into {folder}, once")
        write_dataset(folder, count=count, seed=SEED, workers=os.cpu_count() or 1)
    return images


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"no result: {error}")

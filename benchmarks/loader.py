"""From a table to tensors: boatseg's loader beside its limit and six others, on the same images.

Contestants, each a process of its own, taking turns, all from the page cache, each from opening its
data to the last batch of one shuffled epoch (importing does not count, worker processes do):

- ``ours``: ``gold().torch(size=384, batch_size=16)`` on the Delta table, decoding in two threads;
- ``limit``: the same decode calls on bytes in memory in as many threads, and nothing else;
- ``petastorm``, ``deltatorch``, ``litdata``, ``streaming``, ``webdataset``, ``datasets``: what they
  read is made beforehand and does not count; two workers, and as their documentation has it:
  Pillow (or what they bring) decodes the whole picture, torchvision scales it;
- each of those once more with our decode calls handed to it (``peers_our_decode``), so that the
  reading alone is compared. A sample of their pixels has to be the same as ours.

``cached`` is a later epoch from decoded images at 256x256, and ``reading`` the same reads into
memory that is used again. Beside each stands how far its order is from a uniform shuffle: 1 is
uniform, 0 is sorted (``neighbours``: distance in the epoch of two images stored side by side;
``displacement``: distance from the stored place). ``peak_rss_mb`` is of the largest process of a
contestant: a peer with two workers has three of them.

``make bench-peers`` installs the peers; one that is missing is said out loud and left out.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _common import (
    ROOT,
    BenchmarkError,
    Finished,
    arguments,
    peer_python,
    race,
    report,
    run_json,
    say,
    warm,
)

from boatseg_core.dataset.loader.order import shuffle_quality
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.lake import TABLES, Lake

PEERS = ("petastorm", "deltatorch", "litdata", "streaming", "webdataset", "datasets")
OURS = {"ours": "first", "limit": "limit", "cached": "cached", "reading": "reading"}
IMAGES, QUICK = 2000, 96
SIDE, BOAT_SHARE, SEED = 768, 0.22, 2018
PER_BATCH = 1000
CACHED_SIZE = 256


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--images", type=int, default=0, help="images, instead of 2,000")
    parser.add_argument("--size", type=int, default=384, help="side wanted, in pixels")
    parser.add_argument("--batch", type=int, default=16, help="images in a batch")
    parser.add_argument("--threads", type=int, default=2, help="threads, or workers of a peer")
    parser.add_argument("--data", type=Path, help="folder for the images, made once, then reused")
    options = parser.parse_args()
    count = options.images or (QUICK if options.quick else IMAGES)
    data = options.data or Path(tempfile.gettempdir()) / f"boatseg-loader-{SEED}-{count}"
    make(data, count)
    common = ["--files", data / "files", "--gold", data / "lake" / "gold_dataset"]
    common += ["--batch", str(options.batch), "--workers", str(options.threads)]

    def start(name: str, python: Path, script: str, *words: str) -> Finished:
        size = CACHED_SIZE if name in ("cached", "reading") else options.size
        path = ROOT / "benchmarks" / "peers" / script
        where = ["--work", data / "work" / script.removesuffix("_loader.py")]
        env = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        return run_json([python, path, *words, *common, *where, "--size", str(size)], env=env)

    wanted = [name for name in (*OURS, *PEERS) if not options.only or name in options.only]
    cases: dict[str, Callable[[], Finished]] = {}
    found = {name: peer_python(name) for name in wanted if name in PEERS}
    peers = {name: python for name, python in found.items() if python is not None}
    left_out = {name: "not installed" for name in found if name not in peers}

    def prepare(name: str) -> None:
        done = data / "work" / name / ".prepared"
        if done.exists():
            return
        say(f"preparing what {name} reads")
        try:
            start(name, peers[name], f"{name}_loader.py", "--do", "prepare")
            done.touch()
        except BenchmarkError as error:
            say(f"!! {name} is LEFT OUT: {error}")
            left_out[name] = str(error).strip().splitlines()[-1]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(prepare, peers))
    for name in wanted:
        if name in OURS:
            executable = Path(sys.executable)
            cases[name] = partial(start, name, executable, "ours_loader.py", OURS[name])
        elif name not in left_out:
            begin = partial(start, name, peers[name], f"{name}_loader.py", "--do")
            # Starting processes is most of a quick run: there one does both.
            both = options.quick and not options.repeat
            cases |= variants(name, begin, ("theirs", "ours") if both else ())
    cases = {name: quiet(case) for name, case in cases.items()}
    size = warm([*data.glob("files/*"), *data.glob("lake/**/*.parquet")])
    say(f"{count} images, {size / 2e6:.0f} MB, load {os.getloadavg()[0]:.1f}")
    turns = race(cases, options.repeat or (1 if options.quick else 3))
    facts = {"images": count, "size": options.size, "batch": options.batch}
    facts |= {"threads": options.threads, "load": round(os.getloadavg()[0], 1)}
    report(summary(turns, count) | {"left_out": left_out} | facts, as_json=options.json)


def variants(
    name: str, begin: Callable[..., Finished], together: tuple[str, ...]
) -> dict[str, Callable[[], Finished]]:
    """A peer as its documentation has it, and with our decode calls.

    Args:
        name: Name of the peer.
        begin: Starts a process that does what it is given.
        together: What one process does; nothing for a process each.
    """
    done: dict[str, Finished] = {}

    def turn(what: str) -> Finished:
        if what not in done:
            finished = begin(*(together or (what,)))
            for each, result in finished.result.items():
                done[each] = replace(finished, result=result)
        return done.pop(what)

    return {name: partial(turn, "theirs"), f"{name}/our decode": partial(turn, "ours")}


def quiet(case: Callable[[], Finished]) -> Callable[[], Finished]:
    """Turn the order, which nobody wants to see, into how well it is shuffled."""

    def run() -> Finished:
        finished = case()
        order = finished.result.pop("order", None)
        if order is not None:
            if len(set(order)) != len(order):
                raise BenchmarkError("an image came twice in an epoch")
            ranks = np.argsort(np.argsort(order))  # places among those that came
            finished.result["shuffle"] = {
                name: round(value, 3) for name, value in shuffle_quality(ranks).items()
            }
        return finished

    return run


def summary(turns: dict[str, list[dict[str, Any]]], count: int) -> dict[str, Any]:
    """Check the contestants' work and turn their best turns into one result."""
    proofs = set()
    for name, each in turns.items():
        for turn in each:
            if turn["images"] != count:
                raise BenchmarkError(f"{name} loaded {turn['images']} images of {count}")
            if name == "ours" or name.endswith("/our decode"):
                proofs.add((turn["pixels"], turn["boats"]))
    if len(proofs) > 1:
        raise BenchmarkError(f"the contestants did not come to the same pixels: {proofs}")
    rate = {
        name: round(count / min(turn["seconds"] for turn in each), 1)
        for name, each in turns.items()
    }
    theirs = {name: rate[name] for name in rate if name in PEERS}
    our_decode = {
        name.removesuffix("/our decode"): rate[name] for name in rate if name.endswith("decode")
    }
    result: dict[str, Any] = {"name": "loader", "unit": "images/s"}
    result |= {name: rate[name] for name in OURS if name in rate}
    result |= {"peers": theirs, "peers_our_decode": our_decode}
    result |= ratios(rate, theirs, our_decode)
    result["shuffle"] = {
        name: each[0]["shuffle"] for name, each in turns.items() if "shuffle" in each[0]
    }
    result["first_batch_s"] = {
        name: round(min(turn["first"] for turn in each), 3)
        for name, each in turns.items()
        if "first" in each[0]
    }
    if "ours" in turns:
        result["resume_s"] = round(min(turn["resume"] for turn in turns["ours"]), 3)
    if "cached" in turns:
        slow = min(turn["verifying"] for turn in turns["cached"])
        result["cached_verifying"] = round(count / slow, 1)
    result["peak_rss_mb"] = {
        name: round(max(turn["peak_rss_mb"] for turn in each)) for name, each in turns.items()
    }
    return result


def ratios(
    rate: dict[str, float], theirs: dict[str, float], our_decode: dict[str, float]
) -> dict[str, float]:
    """What the targets are about."""
    found = {}
    pairs = {
        "of_limit": ("ours", rate.get("limit")),
        "of_best_peer": ("ours", max(theirs.values(), default=None)),
        "of_best_peer_our_decode": ("ours", max(our_decode.values(), default=None)),
        "cached_of_reading": ("cached", rate.get("reading")),
    }
    for name, (one, other) in pairs.items():
        if one in rate and other:
            found[name] = round(rate[one] / other, 3)
    return found


def make(data: Path, count: int) -> None:
    """Draw the images, once: JPEG and mask of each as files, and all of them as a gold table."""
    made = data / ".made-with-sizes"  # as ingestion makes gold, which tells what a crop is cut of
    if made.exists():
        return
    say(f"drawing {count} images of {SIDE} px into {data}")
    (data / "files").mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    lake = Lake(str(data / "lake"))
    for number in range(count):
        image, mask, box = draw(number)
        files = data / "files" / f"{number:05}.jpg", data / "files" / f"{number:05}.png"
        files[0].write_bytes(image)
        files[1].write_bytes(mask)
        rows.append(
            {
                "image_id": files[0].name,
                "batch_id": f"b{number // PER_BATCH:03}",
                "image": image,
                "mask": mask,
                "width": SIDE,
                "height": SIDE,
                "boat_count": len(box),
                "boat_boxes": box,
                "split": "train",
            }
        )
        if len(rows) == PER_BATCH or number == count - 1:
            table = pa.Table.from_pylist(rows, TABLES["gold_dataset"].schema)
            lake.replace_batch("gold_dataset", rows[0]["batch_id"], table)
            rows = []
    made.touch()


def draw(number: int) -> tuple[bytes, bytes, list[list[int]]]:
    """One sea with texture down to the pixel; its JPEG is as large as those of the real set."""
    from io import BytesIO

    from PIL import Image

    random = np.random.default_rng([SEED, number])
    coarse = random.integers(20, 130, (24, 24, 3), dtype=np.uint8)
    sea = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    noise = random.normal(0, 7, (SIDE, SIDE, 1)).astype(np.float32)
    pixels = np.clip(np.asarray(sea) + noise, 0, 255).astype(np.uint8)
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    boxes = []
    if random.random() < BOAT_SHARE:
        x, y = (int(value) for value in random.integers(0, SIDE - 90, 2))
        mask[y : y + 30, x : x + 80] = True
        pixels[mask] = 230
        boxes = [[x, y, 80, 30]]
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue(), encode_mask(mask), boxes


if __name__ == "__main__":
    main()

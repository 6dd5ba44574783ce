"""Training: steps/s of the whole pipeline beside those of the bare network, and what others give.

Contestants, each a process of its own, taking turns, all with the same network, loss and optimiser
(the defaults of ``boatseg train``), all from the page cache; start-up and the first steps do not
count. All hold on to their memory as our trainings do (``memory_kept``): a fifth of a step
otherwise, for some of them and not for others.

- ``ours``: the product's own entrance: gold table, loader, augmentation, Lightning, counting
  pixels, watching the loss, clipping, schedule, and its share of writing the state;
- ``limit``: network, loss, backward pass and optimiser on one batch of tensors in memory;
- ``limit_augmented``: the same with our augmentation of the batch in it: what the loader, Lightning
  and our callbacks cost is between this one and ours;
- ``files``: a plain loop over a plain ``DataLoader`` with worker processes on the same pictures as
  files, torchvision's transforms, the network laid out as ours;
- ``lightning``: the same files in Lightning as its documentation has it.

``of_limit`` is ours over ``limit``. ``cpu_of_limit`` compares the processor time a step costs, and
is the figure to trust on a busy machine (worker processes are not in it, so that the peers have
none). ``wait_share`` is the part of the time in which our training waited for its next batch.

``--variants`` times the bare network in other formats: bf16, contiguous, compiled (with what
compiling takes). ``--device cuda`` runs everything on a GPU.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from _common import (
    ROOT,
    BenchmarkError,
    Finished,
    arguments,
    race,
    report,
    run_json,
    say,
    warm,
)
from loader import SEED, make

CONTESTANTS = ("ours", "limit", "limit_augmented", "files", "lightning")
PEERS = ("files", "lightning")
VARIANTS = {
    "channels_last": [],
    "contiguous": ["--contiguous"],
    "bf16": ["--bf16"],
    "compiled": ["--compile"],
    "compiled_bf16": ["--compile", "--bf16"],
}
IMAGES, QUICK_IMAGES = 400, 64
STEPS, QUICK_STEPS = 40, 5
WARM, QUICK_WARM = 8, 2


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--augment", choices=("light", "strong"), default="light")
    parser.add_argument("--steps", type=int, default=0, help=f"steps of a turn (default: {STEPS})")
    parser.add_argument("--crop", type=int, default=192, help="side of a crop, in pixels")
    parser.add_argument("--batch", type=int, default=8, help="crops in a step")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the peers")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads (default: cores)")
    parser.add_argument("--variants", action="store_true", help="time other number formats instead")
    parser.add_argument("--data", type=Path, help="folder for the images, made once, then reused")
    options = parser.parse_args()
    images = QUICK_IMAGES if options.quick else IMAGES
    data = options.data or Path(tempfile.gettempdir()) / f"boatseg-loader-{SEED}-{images}"
    make(data, images)
    device = options.device if options.device != "auto" else _device()
    steps = options.steps or (QUICK_STEPS if options.quick else STEPS)
    env = {"OMP_NUM_THREADS": str(options.threads)} if options.threads else {}

    def start(name: str, *more: str) -> Finished:
        script = ROOT / "benchmarks" / "peers" / "training_contestants.py"
        words = {
            "--data": data,
            "--steps": steps,
            "--warm": QUICK_WARM if options.quick else WARM,
            "--crop": options.crop,
            "--batch": options.batch,
            "--workers": options.workers,
            "--device": device,
            "--augment": options.augment,
        }
        flat = [str(word) for pair in words.items() for word in pair]
        return run_json([sys.executable, script, name, *flat, *more], env=env)

    cases: dict[str, Callable[[], Finished]]
    if options.variants:
        cases = {name: partial(start, "limit", *flags) for name, flags in VARIANTS.items()}
    else:
        cases = {name: partial(start, name) for name in CONTESTANTS}
    cases = {n: case for n, case in cases.items() if not options.only or n in options.only}
    warm([*data.glob("files/*"), *data.glob("lake/**/*.parquet")])
    load = os.getloadavg()[0]
    say(f"{images} images, {device}, {steps} steps a turn, load {load:.1f}")
    turns = race(cases, options.repeat or (1 if options.quick else 3))
    facts = {"device": device, "batch": options.batch, "crop": options.crop, "steps": steps}
    facts |= {"augment": options.augment, "threads": options.threads, "load": round(load, 1)}
    if options.variants:
        report({"name": "training_variants", **variants(turns), **facts}, as_json=options.json)
        return
    result = summary(turns)
    if not options.only:
        parts = start("parts").result["breakdown_cpu_ms"]
        result["breakdown_cpu_ms"] = {name: round(ms, 2) for name, ms in parts.items()}
    report(result | facts, as_json=options.json)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def summary(turns: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Turn the best turn of each into one result."""
    rate, cost = {}, {}
    for name, each in turns.items():
        if len({turn["steps"] for turn in each}) != 1:
            raise BenchmarkError(f"{name} did not take the same number of steps in each turn")
        rate[name] = max(turn["steps"] / turn["seconds"] for turn in each)
        cost[name] = min(turn["cpu_s"] / turn["steps"] for turn in each)
    result: dict[str, Any] = {"name": "training", "unit": "steps/s"}
    result |= {name: round(rate[name], 3) for name in rate if name not in PEERS}
    result["peers"] = {name: round(rate[name], 3) for name in PEERS if name in rate}
    if "ours" in rate:
        for other, name in (("limit", "of_limit"), ("limit_augmented", "of_limit_augmented")):
            if other in rate:
                result[name] = round(rate["ours"] / rate[other], 3)
                result[f"cpu_{name}"] = round(cost[other] / cost["ours"], 3)
        if result["peers"]:
            result["of_best_peer"] = round(rate["ours"] / max(result["peers"].values()), 3)
        result["wait_share"] = round(min(turn["wait_share"] for turn in turns["ours"]), 4)
        ms = min(turn["checkpoint_ms"] for turn in turns["ours"])
        result["checkpoint_ms_a_step"] = round(ms, 2)
    result["cpu_ms_a_step"] = {
        name: round(1000 * cost[name], 1) for name in cost if name not in PEERS
    }
    result["peak_rss_mb"] = {
        name: round(max(turn["peak_rss_mb"] for turn in each)) for name, each in turns.items()
    }
    return result


def variants(turns: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What a step, and the first one, cost in each number format."""
    return {
        name: {
            "step_ms": round(min(1000 * t["seconds"] / t["steps"] for t in each), 1),
            "cpu_ms": round(min(1000 * t["cpu_s"] / t["steps"] for t in each), 1),
            "first_s": round(min(t["first_s"] for t in each), 1),
        }
        for name, each in turns.items()
    }


if __name__ == "__main__":
    main()

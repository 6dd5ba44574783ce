"""How long a look of the sensor takes in a home of a million files, beyond the listing itself.

Real: a folder tree of empty files (a million; 30,000 with --quick), its listing by our sensor's own
function on a Dagster instance, sealing, run requests, and every comparison of every table.
Simulated: the tables. Rows of the ledger for all the files of the tree, and for invented ones up to
a million (300,000 with --quick); and what the runs of their batches would have written (bronze,
silver, gold, labels), with no byte of a picture and 100 batches a commit.

The limit is the bare listing of the same tree in the same run: os.scandir at every folder and a
stat of every file, which is what any discovery by listing has to do. ``set_diff`` is what one would
write oneself: the same listing, and a Python set of what the ledger has.

With 10,000,000 files only the ledger is simulated: its size, and the time to find 1,000 new ones.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _common import ROOT, arguments, report, run_json, say
from _home import Files, fill, finish, in_parts, name_of

from boatseg_core.config import Settings, load_settings
from boatseg_core.ingest.seal import seal
from boatseg_core.lake import Lake

LEDGER, QUICK_LEDGER = 1_000_000, 300_000
HUGE = 10_000_000
NEW = 1_000
_UNBOUNDED = {"tick_files": 0, "tick_seconds": 0}


def main() -> None:
    """Run the benchmark, or one of its processes."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--folder", type=Path, help="where the tree and the homes are made")
    parser.add_argument("--process", choices=tuple(_PROCESSES), help="used by itself")
    given = parser.parse_args()
    if given.process:
        print(json.dumps(_PROCESSES[given.process](given.folder, given.repeat)))
        return
    folder = Path(tempfile.mkdtemp(prefix="discovery-", dir=given.folder))
    try:
        sizes = (30_000, QUICK_LEDGER) if given.quick else (LEDGER, LEDGER)
        result = measure(folder, *sizes, given.repeat or 3, huge_too=not given.quick)
    finally:
        shutil.rmtree(folder)
    report(result, as_json=given.json)


def measure(
    folder: Path, listed: int, known: int, repeat: int, *, huge_too: bool
) -> dict[str, Any]:
    """Make the homes and run the processes; each has its own peak of memory."""
    home = folder / "home"
    started = time.perf_counter()
    settings, lake = opened(home)
    say(f"making {listed:,} files and tables for {known:,}")
    fill(lake, settings, planted(settings.images_folder, listed, known))
    say(f"made in {time.perf_counter() - started:.0f} s")
    done = worker("ticks", home, repeat)
    found = done.result | worker("peer", home, repeat).result
    result = {
        "name": "discovery",
        "unit": "s",
        "ours": found["nothing_new"],
        "limit": found["limit"],
        "of_limit": round(found["limit"] / found["nothing_new"], 3),
        "peers": {"set_diff": found["set_diff"]},
        "peak_rss_mb": round(done.peak_rss_mb),
        "files_listed": listed,
        "files_in_ledger": known,
        "beyond_nothing_new": round(found["nothing_new"] - found["limit"], 3),
        "beyond_1000_new": round(found["thousand_new"] - found["limit"], 3),
        "beyond_after_a_run": round(found["after_a_run"] - found["limit"], 3),
        "beyond_first_look": round(found["first"] - found["limit"], 3),
        "ledger_mb": megabytes(lake, "files"),
    }
    if huge_too:
        shutil.rmtree(home)
        say(f"making a ledger of {HUGE:,} files")
        settings, lake = opened(folder / "huge")
        fill(lake, settings, in_parts(0, HUGE), tables=())
        done = worker("huge", folder / "huge", repeat)
        result |= {
            "huge_ledger_mb": megabytes(lake, "files"),
            "huge_beyond_1000_new": done.result["beyond_1000_new"],
            "huge_peak_rss_mb": round(done.peak_rss_mb),
        }
    return result


def ticks(home: Path, repeat: int) -> dict[str, float]:
    """Look as the sensor does: first, with nothing new, with 1,000 new files, after their run."""
    import dagster as dg

    from boatseg_dagster.resources import Boatseg
    from boatseg_dagster.sensors import look

    settings, lake = opened(home)
    images = settings.images_folder
    (home / "dagster").mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(str(home / "dagster")) as instance:

        def tick() -> dg.SensorResult:
            result = look(instance, Boatseg(home=str(home)), warn=say)
            for addition in result.dynamic_partitions_requests or []:
                keys = list(addition.partition_keys)
                instance.add_dynamic_partitions(addition.partitions_def_name, keys)
            return result

        times = {"first": timed(tick)[0]}
        turns: dict[str, list[float]] = {"limit": [], "nothing_new": []}
        for _ in range(repeat):
            turns["limit"].append(timed(lambda: sum(1 for _ in walk(images)))[0])
            seconds, result = timed(tick)
            assert not result.run_requests, result.run_requests
            turns["nothing_new"].append(seconds)
        times |= {name: min(values) for name, values in turns.items()}
        plant(images / "new", [f"{number}.jpg" for number in range(NEW)])
        times["thousand_new"], result = timed(tick)
        (request,) = result.run_requests or []
        finish(lake, settings, str(request.partition_key))
        times["after_a_run"], result = timed(tick)
        assert not result.run_requests
    return {name: round(seconds, 3) for name, seconds in times.items()}


def huge(home: Path, repeat: int) -> dict[str, float]:
    """Find 1,000 new files beside a ledger that knows ten million, none of them listed."""
    settings, lake = opened(home)
    images = settings.images_folder
    plant(images, [f"new-{number}.jpg" for number in range(NEW)])
    limit = min(timed(lambda: sum(1 for _ in walk(images)))[0] for _ in range(repeat))
    seconds, sealed = timed(lambda: seal(lake, settings))
    assert sum(sealed.batches.values()) == NEW
    return {"beyond_1000_new": round(seconds - limit, 3)}


def peer(home: Path, repeat: int) -> dict[str, float]:
    """Find nothing new the way one would write it oneself."""
    settings, lake = opened(home)
    turns = [timed(lambda: set_diff(lake, settings.images_folder)) for _ in range(repeat)]
    assert all(unknown == 0 for _, unknown in turns)
    return {"set_diff": round(min(seconds for seconds, _ in turns), 3)}


def set_diff(lake: Lake, root: Path) -> int:
    """What one would write oneself: list everything, keep what a set does not have."""
    columns = ["path", "size_bytes", "mtime_ns"]
    known = set(lake.scan("files").select(columns).collect().iter_rows())
    return sum(1 for entry in walk(root) if entry not in known)


def walk(root: Path) -> Iterator[tuple[str, int, int]]:
    """List a tree: path below it, size, time of modification."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(f"{root}/{prefix}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{entry.name}/")
                else:
                    found = entry.stat()
                    yield f"{prefix}{entry.name}", found.st_size, found.st_mtime_ns


def planted(root: Path, count: int, known: int) -> Iterator[Files]:
    """Make empty files, and yield them and then invented ones."""
    plant(root, [name_of(number) for number in range(count)])
    listed = list(walk(root))
    for first in range(0, count, 100_000):
        names, sizes, times = zip(*listed[first : first + 100_000], strict=True)
        yield list(names), list(sizes), list(times)
    yield from in_parts(count, known - count)


def plant(root: Path, names: list[str]) -> None:
    """Make empty files, old enough to have settled."""
    for folder in {name.rpartition("/")[0] for name in names}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        path = f"{root}/{name}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))


def opened(home: Path) -> tuple[Settings, Lake]:
    """Open a home whose looks are not cut off."""
    home.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {value}" for name, value in _UNBOUNDED.items()]
    (home / "boatseg.toml").write_text("[seal]\n" + "\n".join(lines) + "\n")
    settings = load_settings(home=home)
    settings.paths.create()
    return settings, Lake.from_settings(settings)


def worker(process: str, home: Path, repeat: int) -> Any:
    """Run a part of the benchmark in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--process", process]
    environment = {"PYTHONPATH": str(ROOT)}
    return run_json([*command, "--folder", str(home), "--repeat", str(repeat)], env=environment)


def megabytes(lake: Lake, name: str) -> float:
    """Size of a table on disk with its log, in MB."""
    files = Path(lake.uri(name)).rglob("*")
    return round(sum(file.stat().st_size for file in files if file.is_file()) / 1e6, 1)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that something takes, and what it returns."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


_PROCESSES = {"ticks": ticks, "huge": huge, "peer": peer}

if __name__ == "__main__":
    main()

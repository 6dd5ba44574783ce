"""What every benchmark needs: arguments, fair repetitions, peak memory, peers, and the last line.

A benchmark compares in ONE run our path with the physical limit and with the peers a user would
pick instead. The contestants take turns (``interleave``, ``race``), so that a machine that slows
down slows all of them down, and the figure quoted is the best or the median of the turns.

Peers live in virtual environments of their own below ``.venv-bench`` (``make bench-peers``), since
their pins clash with ours and with each other's. One that is not installed is said out loud and
left out of the result; no figure is ever made up for it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
"""Root of the repository."""

PEERS = ROOT / ".venv-bench"
"""Folder of the peers' virtual environments."""


class BenchmarkError(Exception):
    """A contestant failed or its result cannot be right; nothing is reported then."""


@dataclass(frozen=True)
class Turns:
    """Seconds a contestant took, turn by turn."""

    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """Shortest turn, in seconds: the one least disturbed by the rest of the machine."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Median turn, in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Finished:
    """A subprocess that ended well.

    Attributes:
        result: The JSON object on its last line of standard output.
        seconds: Its whole life, start-up included.
        peak_rss_mb: Its largest resident size, in MB (of the process itself, not its children).
    """

    result: dict[str, Any]
    seconds: float
    peak_rss_mb: float


def arguments(description: str) -> argparse.ArgumentParser:
    """Start a benchmark's command line with the options all of them have.

    Returns:
        A parser that knows ``--quick``, ``--json``, ``--repeat`` (0: the script's own number of
        turns) and ``--only`` (names of contestants; empty: all).
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller inputs, ends inside 60 s")
    parser.add_argument("--json", action="store_true", help="print the result as one last line")
    parser.add_argument("--repeat", type=int, default=0, metavar="N", help="turns of each one")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="run these contestants only"
    )
    return parser


def interleave(cases: Mapping[str, Callable[[], object]], repeat: int) -> dict[str, Turns]:
    """Time functions of this process, taking turns; the order is reversed every other turn.

    Args:
        cases: Contestants by name. Each does the same work at every call.
        repeat: Turns of each; an untimed one comes first.
    """
    turns = {name: Turns() for name in cases}
    for case in cases.values():
        case()
    for turn in range(repeat):
        order = list(cases) if turn % 2 == 0 else list(cases)[::-1]
        for name in order:
            start = time.perf_counter()
            cases[name]()
            turns[name].seconds.append(time.perf_counter() - start)
    return turns


def race(
    cases: Mapping[str, Callable[[], Finished]], repeat: int
) -> dict[str, list[dict[str, Any]]]:
    """Run subprocesses in turns; each times itself, so that its start-up does not count.

    Args:
        cases: Contestants by name; see :func:`run_json`.
        repeat: Turns of each.

    Returns:
        By name the results of the turns, each with ``peak_rss_mb`` added.
    """
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    for turn in range(repeat):
        order = list(cases) if turn % 2 == 0 else list(cases)[::-1]
        for name in order:
            finished = cases[name]()
            results[name].append({"peak_rss_mb": finished.peak_rss_mb} | finished.result)
            say(f"  turn {turn + 1} of {repeat}: {name}: {_brief(finished.result)}")
    return results


def run_json(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 900,
) -> Finished:
    """Run a subprocess and read the JSON object on the last line it prints.

    Args:
        command: Program and arguments.
        env: Variables to add to ours.
        timeout: Seconds after which it is ended.

    Raises:
        BenchmarkError: It failed, took too long, or printed no JSON object.
    """
    words = [os.fspath(word) for word in command]
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(words, stdout=out, stderr=err, env=os.environ | dict(env or {}))
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        try:
            # The only wait that tells the child's own peak memory.
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        printed, complaint = (_text(stream) for stream in (out, err))
    name = " ".join(Path(word).name for word in words[:3])
    if process.returncode:
        why = "was ended" if seconds >= timeout else f"failed with {process.returncode}"
        raise BenchmarkError(f"{name} {why} after {seconds:.0f} s:\n{complaint[-3000:]}")
    try:
        result = json.loads(printed.strip().splitlines()[-1])
    except (IndexError, ValueError):
        tail = (printed + complaint)[-3000:]
        raise BenchmarkError(f"{name} printed no result:\n{tail}") from None
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Finished(result, seconds, usage.ru_maxrss * unit / 1e6)


def peer_python(name: str) -> Path | None:
    """Find a peer's interpreter; say so loudly when the peer is not installed."""
    python = PEERS / name / "bin" / "python"
    if python.exists():
        return python
    say(f"!! {name} is LEFT OUT: {python.relative_to(ROOT)} is missing; run `make bench-peers`")
    return None


def peak_rss_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    try:
        # Not the resource module's: a child starts with its parent's figure there.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Make a temporary folder (below ``TMPDIR``) and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"boatseg-{prefix}-") as folder:
        yield Path(folder)


def warm(files: Sequence[Path]) -> int:
    """Read files once, so that every contestant finds them in the page cache.

    Returns:
        Their size together, in bytes.
    """
    return sum(len(file.read_bytes()) for file in files)


def say(text: str) -> None:
    """Tell the user on standard error; standard output is for the result."""
    print(text, file=sys.stderr, flush=True)


def report(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the result: a list for people, with ``as_json`` one last line for programs."""
    width = max(len(key) for key in result)
    for key, value in result.items():
        say(f"{key:<{width}}  {json.dumps(value)}")
    if as_json:
        print(json.dumps(result), flush=True)


def _brief(result: Mapping[str, Any]) -> str:
    shown = {k: round(v, 2) if isinstance(v, float) else v for k, v in result.items()}
    return ", ".join(f"{k} {v}" for k, v in shown.items())


def _text(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read().decode(errors="replace"))

"""A process that has imported everything, and runs commands in children it forks.

Starting Python and importing takes a second; a fork takes milliseconds. The server itself never
runs a command, so that no thread pool exists yet when it forks. Each child is a real process with
its own process id, killed for real.

Run as ``python -m support.forks``: a line of JSON with the arguments of ``boatseg`` in, the
child's process id out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass
class Forks:
    """The server, seen from a test."""

    process: subprocess.Popen[str]

    def start(self, *arguments: str, log: Path, limits: dict[str, int] | None = None) -> Child:
        """Start a command in a process of its own; what it prints is added to a file."""
        order = {"arguments": arguments, "log": str(log), "limits": limits or {}}
        to, back = self._pipes()
        to.write(json.dumps(order) + "\n")
        to.flush()
        return Child(int(back.readline()), self)

    def status(self, pid: int) -> int:
        """Wait for a child; its exit code, or minus the signal that ended it."""
        to, back = self._pipes()
        to.write(json.dumps({"wait": pid}) + "\n")
        to.flush()
        return os.waitstatus_to_exitcode(int(back.readline()))

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout


@dataclass
class Child:
    """One command running."""

    pid: int
    server: Forks

    def kill(self, signal: int) -> None:
        """Send a signal; the child is not waited for, so its process id cannot be another's."""
        os.kill(self.pid, signal)

    def wait(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        return self.server.status(self.pid)


@contextmanager
def forking() -> Iterator[Forks]:
    """Run a server; it ends with the context."""
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(tests), "NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "support.forks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield Forks(process)
        finally:
            process.kill()


def _child(order: dict[str, object]) -> None:
    import resource

    from boatseg_core.cli.root import root

    out = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    limits = order["limits"]
    assert isinstance(limits, dict)
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))
    arguments = order["arguments"]
    assert isinstance(arguments, list)
    try:
        code = int(root.main(arguments, standalone_mode=False) or 0)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Serve until the input ends."""
    import boatseg_core.cli.ingest
    import boatseg_core.dataset.gold
    import boatseg_core.dataset.groups
    import boatseg_core.dataset.staleness
    import boatseg_core.ingest.bronze
    import boatseg_core.ingest.quality
    import boatseg_core.ingest.seal
    import boatseg_core.labels.build
    import boatseg_core.labels.ingest  # noqa: F401  # imported for the children

    while line := sys.stdin.readline():
        order = json.loads(line)
        if "wait" in order:
            print(os.waitpid(order["wait"], 0)[1], flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _child(order)
        print(pid, flush=True)


if __name__ == "__main__":
    main()

"""A real PostgreSQL server on a socket of its own, for studies in a database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_PLACES = ("/usr/lib/postgresql", "/usr/local/opt/postgresql", "/opt/homebrew/opt/postgresql")


def _programs() -> Path | None:
    """Folder with initdb, the newest version's; None where there is no server."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for place in _PLACES:
        for folder in sorted(Path(place).glob("*/bin"), reverse=True):
            if (folder / "initdb").exists():
                return folder
    return None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a database; the test is skipped where no server is installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server: install postgresql to test studies in a database")
    folder = tmp_path_factory.mktemp("pg")
    data, sockets = folder / "data", folder / "s"
    sockets.mkdir()
    as_user: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        if not shutil.which("runuser"):
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        as_user = ["runuser", "-u", "nobody", "--"]
        subprocess.run(["chown", "-R", "nobody", str(folder)], check=True)
        for parent in (folder, *list(folder.parents)[:3]):
            if parent != Path("/tmp") and parent.stat().st_uid == 0:
                parent.chmod(parent.stat().st_mode | 0o011)

    def run(program: str, *arguments: str) -> None:
        assert programs is not None
        done = subprocess.run(
            [*as_user, str(programs / program), *arguments],
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode()

    run("initdb", "-D", str(data), "-U", "boatseg", "-A", "trust", "-N")
    options = f"-c listen_addresses= -c unix_socket_directories={sockets} -c fsync=off"
    log = str(folder / "server.log") if not as_user else str(data / "server.log")
    run("pg_ctl", "-D", str(data), "-o", options, "-l", log, "-w", "start")
    try:
        run("createdb", "-h", str(sockets), "-U", "boatseg", "studies")
        yield f"postgresql://boatseg@/studies?host={sockets}"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")

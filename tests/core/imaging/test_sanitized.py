"""The compiled module under the compiler's sanitizers: it reads bytes that nobody vouches for.

To look longer, by hand: build as :func:`sanitized` does and give ``support.fuzz`` a larger count.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FLAGS = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-wrapv"


def runtime(name: str) -> str | None:
    """Where the compiler has a sanitizer's library."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if not shutil.which(compiler):
        return None
    command = [compiler, f"-print-file-name={name}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return found if Path(found).is_absolute() else None


@pytest.fixture
def sanitized(tmp_path: Path) -> dict[str, str]:
    """Environment in which Python finds the package with its module compiled to watch itself."""
    libraries = [runtime("libasan.so"), runtime("libubsan.so")]
    if None in libraries:
        pytest.skip("no GCC with its sanitizers")
    shutil.copytree(
        ROOT / "boatseg_core",
        tmp_path / "lib" / "boatseg_core",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    flags = {"CFLAGS": FLAGS, "LDFLAGS": "-fsanitize=address,undefined"}
    build = ["build_ext", "--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"]
    made = subprocess.run(
        [sys.executable, "setup.py", *build],
        cwd=ROOT,
        env=os.environ | flags,
        capture_output=True,
        text=True,
    )
    assert list((tmp_path / "lib").rglob("_pixels*.so")), made.stderr[-2000:]
    return {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "lib"), str(ROOT / "tests")]),
        "PYTHONMALLOC": "malloc",  # every buffer in memory of its own
        "LD_PRELOAD": " ".join(map(str, libraries)),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
    }


def test_damaged_files_make_no_read_or_sum_go_astray(sanitized: dict[str, str]) -> None:
    env = os.environ | sanitized
    where = "from boatseg_core.imaging import _pixels; print(_pixels.__file__)"
    loaded = subprocess.run(
        [sys.executable, "-c", where], env=env, cwd="/", capture_output=True, text=True
    )
    assert loaded.stdout.startswith(sanitized["PYTHONPATH"].split(os.pathsep)[0]), loaded.stderr

    command = [sys.executable, "-m", "support.fuzz", "3", "600"]
    run = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=280)

    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["walks"]["same"] > 20
    assert found["decodes"]["same"] > 20
    assert found["differing"] == []

"""Run a command line in an interpreter of its own, to see what it imports."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("torch", "mlflow", "optuna", "dagster", "pytorch_lightning", "polars", "duckdb", "onnx")


def modules_after(*args: str) -> tuple[int, list[str]]:
    """Exit code of a command line in a fresh interpreter, and which heavy modules it imported."""
    script = (
        "import json, sys\n"
        "from boatseg_core.cli import main\n"
        f"sys.argv = ['boatseg', *{list(args)!r}]\n"
        "code = 0\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    code = end.code or 0\n"
        f"print(json.dumps([code, sorted(set({HEAVY!r}) & set(sys.modules))]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code, found = json.loads(done.stdout.splitlines()[-1])
    return code, found

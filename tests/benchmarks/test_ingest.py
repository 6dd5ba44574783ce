from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_ours_fast_and_limit_measure_the_same_files(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/ingest.py", "--images", "24", "--repeat", "1", "--json"]
    command += ["--only", "ours", "fast", "limit", "--data", str(tmp_path / "data")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout.splitlines()[-1])

    assert (result["name"], result["unit"], result["images"]) == ("ingest", "images/s", 24)
    assert min(result["ours"], result["fast"], result["limit"]) > 0
    assert result["cpu_of_limit"] > 0
    # What was not run is not in the result.
    assert result["peers"] == {}
    assert result["of_spark"] is None
    assert 50 < result["peak_rss_mb"] < 1200

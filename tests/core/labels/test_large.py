"""Files larger than memory should have to be: read as a stream, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.labelled import images, masks, put

from boatseg_core.config import Settings
from boatseg_core.labels.build import rasterize_batch
from boatseg_core.labels.ingest import load
from boatseg_core.lake import Lake

LOADER = """
import json, sys
from pathlib import Path
from boatseg_core.config import Settings
from boatseg_core.labels.ingest import load
from boatseg_core.lake import Lake

def peak():
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return int(line.split()[1]) / 1024

settings = Settings(home=sys.argv[1], landing={"settle_seconds": 0})
lake = Lake.from_settings(settings)
load(lake, settings)  # a small file first: imports and caches are not what is measured
(Path(sys.argv[1]) / "landing" / "large").rename(Path(sys.argv[1]) / "landing" / sys.argv[2])
before = peak()
rows = load(lake, settings).rows
print(json.dumps({"rows": rows, "grown": peak() - before}))
"""
MEGABYTES = 200


def write_csv(path: Path) -> int:
    cell = " ".join(f"{1 + 768 * i} {i % 50 + 1}" for i in range(700))
    rows = MEGABYTES * 2**20 // len(cell)
    with path.open("w") as file:
        file.write("ImageId,EncodedPixels\n")
        file.writelines(f"{i // 2:09x}.jpg,{cell} {i + 600_000} 1\n" for i in range(rows))
    return rows


def write_coco(path: Path) -> int:
    outline = ",".join(f"{i % 97}.25,{i % 89}.5" for i in range(700))
    rows = MEGABYTES * 2**19 // len(outline)  # as Python numbers, half as much is ten times as much
    size = '"width":768,"height":768'
    with path.open("w") as file:
        file.write('{"annotations":[')
        file.writelines(
            f'{"," if i else ""}{{"image_id":{i // 2},"segmentation":[[{i},1,{outline}]]}}\n'
            for i in range(rows)
        )
        listed = ",".join(f'{{"id":{i},"file_name":"{i}.jpg",{size}}}' for i in range(rows))
        file.write(f'],"images":[{listed}]}}')
    return rows + rows - (rows + 1) // 2  # and the images without an annotation


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read there")
@pytest.mark.parametrize(("write", "name"), [(write_csv, "l.csv"), (write_coco, "l.json")])
def test_a_large_file_is_streamed(settings: Settings, write: object, name: str) -> None:
    put(settings, "small.csv", "ImageId,EncodedPixels\na.jpg,1 2\n")
    rows = write(settings.paths.landing / "large")  # type: ignore[operator]
    command = [sys.executable, "-c", LOADER, str(settings.home), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rows"] == rows
    # Parts of 32 MB are held as text, as a frame and while they are compressed.
    assert result["grown"] < 350, f"{result['grown']:.0f} MB for a file of {MEGABYTES} MB"


def test_a_cell_of_ten_megabytes_is_an_issue_and_the_good_rows_stay(
    lake: Lake, settings: Settings
) -> None:
    images(lake, "b1", {"a.jpg": (40, 30), "b.jpg": (40, 30)})
    long = "1 1 " * (10 * 2**20 // 4)
    odd = "7" * (10 * 2**20)
    text = f"ImageId,EncodedPixels\na.jpg,1 2\na.jpg,{long}\nb.jpg,3 4\nb.jpg,{odd}\n"
    put(settings, "m.csv", text)
    load(lake, settings)
    summary = rasterize_batch(lake, "b1", settings)
    assert summary.rejected == {"overlapping_runs": 1, "out_of_bounds": 1}
    assert {name: row["boat_areas"] for name, row in masks(lake).items()} == {
        "a.jpg": [2],
        "b.jpg": [4],
    }
    messages = lake.read("label_issues")["message"].to_list()
    assert max(map(len, messages)) < 200

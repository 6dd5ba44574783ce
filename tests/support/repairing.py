"""A process that commits, for tests of repairs beside writers."""

from __future__ import annotations

import sys
import time

import pyarrow as pa

from boatseg_core.lake import TABLES, Lake


def main(root: str, count: int) -> None:
    lake = Lake(root)
    for number in range(count):
        row = {"image_id": str(number), "batch_id": f"b{number}", "path": str(number)}
        lake.append("files", pa.Table.from_pylist([row], TABLES["files"].schema))
        print(time.time(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

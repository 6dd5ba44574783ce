"""The work every peer does on a picture, and proof that it was done.

Runs in the peers' environments. Pillow of the same version as ours decodes, so that the pixels, and
with them the histograms, have to be the same to the last bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def measure(data: bytes) -> tuple[int, int, str, bytes]:
    """Decode a picture.

    Returns:
        Width, height, SHA-256 of the file in hexadecimal, and the exact histogram per channel:
        3 x 256 little-endian uint32.
    """
    image = Image.open(io.BytesIO(data)).convert("RGB")
    histogram = np.array(image.histogram(), dtype="<u4").tobytes()
    return image.width, image.height, hashlib.sha256(data).hexdigest(), histogram


def proof(rows: Any) -> str:
    """Digest of what was measured.

    Args:
        rows: Pairs of SHA-256 and histogram, in any order.
    """
    digest = hashlib.sha256()
    for sha256, histogram in sorted(rows):
        digest.update(bytes.fromhex(sha256) + histogram)
    return digest.hexdigest()


def run(ingest: Callable[[str, str], None], warm_up: str, data: str, out: str) -> None:
    """Time a peer on a folder of JPEGs and print the result as one JSON line.

    Args:
        ingest: Reads the JPEGs of one folder and writes Parquet into another.
        warm_up: Small folder that is ingested first and does not count: start-up is over then.
        data: The folder.
        out: Where to write; must not exist.
    """
    import pyarrow.parquet as pq

    ingest(warm_up, f"{out}/warm")
    start = time.perf_counter()
    ingest(data, f"{out}/run")
    seconds = time.perf_counter() - start
    rows, stored = [], 0
    for file in sorted(Path(f"{out}/run").rglob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(64):
            rows += zip(batch["sha256"].to_pylist(), batch["histogram"].to_pylist(), strict=True)
            stored += sum(len(value.as_py()) for value in batch["content"])
    result = {"images": len(rows), "seconds": seconds, "stored": stored, "proof": proof(rows)}
    print(json.dumps(result), flush=True)

"""Images that were never drawn, with labels: enough for what looks at tables only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from boatseg_core.config import Settings
from boatseg_core.imaging import rle
from boatseg_core.lake import TABLES, Lake


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


def images(lake: Lake, batch_id: str, sizes: dict[str, tuple[int, int]]) -> None:
    """Pretend that images of these widths and heights were ingested."""
    rows: list[dict[str, Any]] = [
        {"image_id": name, "batch_id": batch_id, "width": w, "height": h, "image": b"x"}
        for name, (w, h) in sizes.items()
    ]
    lake.append("files", table("files", [{**r, "path": r["image_id"]} for r in rows]))
    lake.replace_batch("raw_images", batch_id, table("raw_images", rows))


def put(settings: Settings, name: str, data: str | bytes, at: float | None = None) -> Path:
    """Write a file below the landing folder, changed last at that second."""
    path = settings.paths.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    if at is not None:
        os.utime(path, (at, at))
    return path


def masks(lake: Lake, batch_id: str = "b1") -> dict[str, dict[str, Any]]:
    """Rows of ``rasterized_masks`` by image."""
    columns = TABLES["rasterized_masks"].schema.names
    frame = lake.read("rasterized_masks", columns, batch_id=batch_id)
    return {row["image_id"]: row for row in frame.iter_rows(named=True)}


def instances(row: dict[str, Any]) -> list[np.ndarray]:
    """Objects of a row of ``rasterized_masks``, as bool masks."""
    return [rle.decode(text, row["height"], row["width"]) for text in row["boat_rles"]]

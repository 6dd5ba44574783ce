"""What processes do to a lake in tests; in a module, since spawned processes import it."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from boatseg_core.lake import TABLES, Column, Lake


def grow_and_append(root: str, name: str, count: int) -> None:
    """Append rows with a column that the table on disk does not have yet."""
    spec = TABLES["raw_masks"]
    column = Column("shade", pa.string(), "A column of tomorrow.")
    TABLES["raw_masks"] = replace(spec, columns=(*spec.columns, column))
    lake = Lake(root)
    for number in range(count):
        row = {"image_id": f"{name}-{number}", "shade": name}
        rows = pa.Table.from_pylist([row], TABLES["raw_masks"].schema)
        lake.append("raw_masks", rows, app_id=f"{name}-{number}")


def append_in_process(root: str, options: dict[str, str], name: str, count: int) -> None:
    """Append rows under application transactions that others use, too."""
    lake = Lake(root, options)
    for number in range(count):
        row = {"image_id": f"{name}-{number}"}
        rows = pa.Table.from_pylist([row], TABLES["raw_masks"].schema)
        lake.append("raw_masks", rows, app_id=f"{name}-{number}")


def replace_in_process(root: str, options: dict[str, str], name: str, count: int) -> None:
    """Replace batches of one's own, each twice, as a retry would."""
    lake = Lake(root, options)
    for batch_id in (f"{name}-{number}" for number in range(count)):
        for images in (1, 3):
            rows = [{"image_id": f"{batch_id}-{i}", "batch_id": batch_id} for i in range(images)]
            lake.replace_batch(
                "raw_images", batch_id, pa.Table.from_pylist(rows, TABLES["raw_images"].schema)
            )

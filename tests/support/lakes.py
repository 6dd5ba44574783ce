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

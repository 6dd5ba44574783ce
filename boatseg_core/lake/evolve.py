"""Let tables of older homes have the columns that newer code knows.

A column that :data:`boatseg_core.lake.schemas.TABLES` gained is added to a table the next time it
is opened for writing, and reads as null everywhere it is not yet: in older tables, in older files
of a table, and in older versions that a model is pinned to.
"""

from __future__ import annotations

import random
import time

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError

from boatseg_core.errors import LakeUnusable
from boatseg_core.lake.commit import NO_HOOKS, build_upon
from boatseg_core.lake.files import Files
from boatseg_core.lake.schemas import TableSpec

_ATTEMPTS = 8


def missing_columns(table: DeltaTable, spec: TableSpec) -> list[str]:
    """Columns that the code knows and the opened version of the table does not have."""
    there = {field.name for field in table.schema().fields}
    return [name for name in spec.schema.names if name not in there]


def add_missing_columns(files: Files, table: DeltaTable, spec: TableSpec) -> DeltaTable:
    """Add the columns a table lacks, as nulls; no data file is touched.

    Whoever else adds the same columns meanwhile wins or loses as a whole: delta-rs refuses a
    change of the schema that another one preceded, and the loser looks again.

    Args:
        files: Files of the lake.
        table: The newest version.
        spec: What the table should have.

    Returns:
        The table at a version that has the columns.

    Raises:
        LakeUnusable: The commit fails for another reason than a race, or the newest log entry is
            empty.
    """
    for attempt in range(_ATTEMPTS):
        missing = missing_columns(table, spec)
        if not missing:
            return table
        build_upon(files, spec.name, table.version())
        wanted = pa.schema([spec.schema.field(name) for name in missing])
        try:
            table.alter.add_columns(
                Schema.from_arrow(wanted).fields, post_commithook_properties=NO_HOOKS
            )
        except CommitFailedError as error:
            if attempt == _ATTEMPTS - 1:
                raise _unchanged(spec, missing, error) from error
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
        except (DeltaError, OSError) as error:
            raise _unchanged(spec, missing, error) from error
        # Only a fresh look tells what the table has: an incremental one keeps the old schema where
        # another process was faster.
        table = DeltaTable(table.table_uri, storage_options=table._storage_options)
    return table


def _unchanged(spec: TableSpec, missing: list[str], error: Exception) -> LakeUnusable:
    columns = ", ".join(missing)
    return LakeUnusable(f"table {spec.name} cannot be given the columns {columns}: {error}")

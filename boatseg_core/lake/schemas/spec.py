"""What a table and a column are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

Layer = Literal["ledger", "bronze", "silver", "gold", "ops"]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Column name.
        type: Arrow type as the table stores it.
        comment: One sentence for people; shown in Dagster and in SQL clients.
    """

    name: str
    type: pa.DataType
    comment: str


@dataclass(frozen=True)
class TableSpec:
    """One table.

    Attributes:
        name: Folder name below the lake's root.
        layer: Medallion layer.
        description: One sentence on what a row is.
        columns: Columns in order.
        partition_by: Partition columns; empty for none.
    """

    name: str
    layer: Layer
    description: str
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema with the comments as Delta field metadata."""
        return pa.schema(
            [
                pa.field(c.name, c.type, metadata={b"comment": c.comment.encode()})
                for c in self.columns
            ]
        )

    @property
    def blobs(self) -> tuple[str, ...]:
        """Names of the binary columns."""
        return tuple(c.name for c in self.columns if pa.types.is_binary(c.type))

    @property
    def narrow(self) -> tuple[str, ...]:
        """Names of the columns that are cheap to read."""
        return tuple(c.name for c in self.columns if not pa.types.is_binary(c.type))

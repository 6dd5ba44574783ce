"""The only room that opens a Delta table."""

from boatseg_core.lake.schemas import TABLES, Column, TableSpec
from boatseg_core.lake.store import Lake

__all__ = ["TABLES", "Column", "Lake", "TableSpec"]

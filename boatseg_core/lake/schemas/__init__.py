"""Every table of the lake: its layer, its partitioning and the meaning of every column."""

from __future__ import annotations

from boatseg_core.lake.schemas.gold import GOLD
from boatseg_core.lake.schemas.images import IMAGES
from boatseg_core.lake.schemas.labels import LABELS
from boatseg_core.lake.schemas.ops import OPS
from boatseg_core.lake.schemas.spec import Column, Layer, TableSpec

__all__ = ["TABLES", "Column", "Layer", "TableSpec"]

TABLES: dict[str, TableSpec] = {spec.name: spec for spec in (*IMAGES, *LABELS, *GOLD, *OPS)}

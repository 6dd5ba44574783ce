"""One look at many tables: each is opened once, and its narrow columns are read natively.

Comparing whole tables reads a thousand small files at a time. Polars' own reader does that ten
times as fast as the Arrow dataset of :meth:`Lake.scan` (1,000,000 rows of three columns in 1,000
files: 0.23 s beside 2.1 s), which is made for pictures.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from boatseg_core.lake.commit import active_files
from boatseg_core.lake.schemas import TABLES, TableSpec
from boatseg_core.lake.store import Lake

_PATH = "_path"


class Snapshot:
    """The newest version of every table that is asked for, from then on the same one.

    Args:
        lake: The lake.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._tables: dict[str, DeltaTable | None] = {}
        self._actions: dict[str, pl.DataFrame] = {}

    def version(self, name: str) -> int | None:
        """Delta version of a table, or ``None`` before it was created."""
        table = self._table(name)
        return None if table is None else table.version()

    def identity(self, name: str) -> tuple[str, int] | None:
        """What a table is known by: its id, which a home made anew does not share, and version."""
        table = self._table(name)
        return None if table is None else (str(table.metadata().id), table.version())

    def scan(self, name: str, batches: Collection[str] | None = None) -> pl.LazyFrame:
        """Scan the columns of a table that are not binary.

        Args:
            name: Table.
            batches: Only these batches; where they are partitions, only their files are opened.

        Returns:
            Lazy frame; empty for a table that does not exist, and with nulls in columns that the
            table does not have yet.
        """
        spec, table = TABLES[name], self._table(name)
        if table is None:
            empty = pl.from_arrow(spec.schema.empty_table())
            assert isinstance(empty, pl.DataFrame)
            return empty.lazy().select(spec.narrow)
        there = {field.name for field in table.schema().fields}
        frame = self._parquet(spec, table, [name for name in spec.narrow if name in there])
        missing = [
            pl.lit(None, _dtype(spec.schema.field(column).type)).alias(column)
            for column in spec.narrow
            if column not in there
        ]
        frame = frame.with_columns(missing).select(spec.narrow)
        return frame if batches is None else frame.filter(pl.col("batch_id").is_in(list(batches)))

    def _parquet(self, spec: TableSpec, table: DeltaTable, columns: list[str]) -> pl.LazyFrame:
        """Scan a version's data files.

        Not by ``pl.scan_delta``: it asks delta-rs for the files' locations, which come percent-
        encoded, and finds none below a folder with a space or an umlaut in its name.
        """
        fields = {name: _dtype(spec.schema.field(name).type) for name in columns}
        paths = active_files(table)["path"].to_list()
        if not paths:
            return pl.LazyFrame(schema=fields)
        root = self.lake.uri(spec.name)
        partitions = {name: fields.pop(name) for name in spec.partition_by if name in fields}
        # Polars takes every ``name=value`` of a path for a partition, also those above the table.
        by_path = "=" in root
        frame = pl.scan_parquet(
            [f"{root}/{path}" for path in paths],
            schema=fields,
            hive_partitioning=bool(partitions) and not by_path,
            hive_schema=None if by_path else partitions or None,
            include_file_paths=_PATH if by_path else None,
            missing_columns="insert",
            extra_columns="ignore",
            glob=False,
            storage_options=self.lake.storage_options or None,
        )
        if not by_path:
            return frame
        values = [
            pl.col(_PATH).str.extract(rf"/{name}=([^/]*)/[^/]*$").cast(dtype).alias(name)
            for name, dtype in partitions.items()
        ]
        return frame.with_columns(values)

    def counts(self, name: str) -> dict[str, int]:
        """Rows of each batch, from the transaction log alone."""
        files = self._files(name)
        return dict(files.group_by("batch_id").agg(pl.col("rows").sum()).iter_rows())

    def files(self, name: str) -> dict[str, tuple[str, ...]]:
        """Data files of each batch, sorted, from the transaction log alone.

        A data file is never changed and its name never used again: a batch whose files are the
        same has the same rows.
        """
        grouped = self._files(name).sort("path").group_by("batch_id").agg("path")
        return {batch: tuple(paths) for batch, paths in grouped.iter_rows()}

    def _files(self, name: str) -> pl.DataFrame:
        if name not in self._actions:
            table = self._table(name)
            columns = {"batch_id": pl.String, "path": pl.String, "rows": pl.Int64}
            found = pl.DataFrame(schema=columns)
            if table is not None:
                actions = pa.table(table.get_add_actions(flatten=True))
                if actions.num_rows:
                    wanted = ["partition.batch_id", "path", "num_records"]
                    renamed = actions.select(wanted).rename_columns(list(columns))
                    found = pl.DataFrame(renamed).cast(columns)  # type: ignore[arg-type]
            self._actions[name] = found
        return self._actions[name]

    def _table(self, name: str) -> DeltaTable | None:
        if name not in self._tables:
            self._tables[name] = self.lake.table(name) if self.lake.exists(name) else None
        return self._tables[name]


def _dtype(type_: pa.DataType) -> pl.DataType:
    frame = pl.from_arrow(pa.table({"x": pa.nulls(0, type_)}))
    assert isinstance(frame, pl.DataFrame)
    return frame.schema["x"]

"""Open one version of a table as an Arrow dataset.

delta-rs can do this itself, but takes a bound that its log does not give for a file as
``column >= null``, which no row meets: such a file would silently be left out of every query that
filters by the column. Here only bounds that were given are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

from boatseg_core.errors import LakeError
from boatseg_core.lake.commit import active_files
from boatseg_core.lake.schemas import TableSpec
from boatseg_core.lake.unreadable import reading

_UNREADABLE = frozenset({"deletionVectors", "columnMapping"})


class Version(ds.FileSystemDataset):  # type: ignore[misc]  # pyarrow ships no types
    """A dataset that knows which version it is, and says so when a file of it cannot be read."""

    name: str
    number: int

    def to_batches(self, **options: Any) -> Iterator[pa.RecordBatch]:
        """Scan it; see :meth:`pyarrow.dataset.Dataset.to_batches`.

        Raises:
            LakeError: A file is gone or damaged.
        """
        with reading(self.name, self.number):
            yield from super().to_batches(**options)

    def to_table(self, **options: Any) -> pa.Table:
        """Read it; see :meth:`pyarrow.dataset.Dataset.to_table`.

        Raises:
            LakeError: A file is gone or damaged.
        """
        with reading(self.name, self.number):
            return super().to_table(**options)


def open_dataset(
    table: DeltaTable, spec: TableSpec, location: str, storage_options: dict[str, str]
) -> Version:
    """Open an opened version of a table for Arrow, without reading data.

    It has every column that the code knows, in the order of ``spec``; those that the version does
    not have are null. Columns that only a newer boatseg knows come last.

    Args:
        table: The version.
        spec: The table.
        location: Its folder or URI.
        storage_options: Options of the object store.

    Raises:
        LakeError: Another engine gave the table a feature that Arrow cannot read.
    """
    features = _UNREADABLE.intersection(table.protocol().reader_features or ())
    if features:
        raise LakeError(
            f"table {spec.name} cannot be read, since another engine gave it "
            f"{' and '.join(sorted(features))}"
        )
    files = active_files(table)
    filesystem: Any
    if "://" in location:
        sizes = dict(files.select("path", "size_bytes").iter_rows()) if files.height else {}
        filesystem = fs.PyFileSystem(DeltaStorageHandler(location, storage_options, sizes))
    else:
        # Arrow reads files of this machine itself. Through delta-rs' handler its threads call into
        # Python, and a process that ends while they read ahead aborts or hangs.
        filesystem = fs.SubTreeFileSystem(str(Path(location).absolute()), fs.LocalFileSystem())
    schema = _schema(table, spec)
    bounded = [] if spec.partition_by else _bounded(schema, set(files.columns))
    columns = ["path", *(f"partition.{name}" for name in spec.partition_by)]
    columns += [f"{kind}.{name}" for name in bounded for kind in ("min", "max", "null_count")]
    format_ = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True)
    )
    fragments = [
        format_.make_fragment(
            row["path"], filesystem, partition_expression=_expression(row, spec, bounded)
        )
        for row in (files.select(columns).iter_rows(named=True) if files.height else ())
    ]
    opened = Version(fragments, schema, format_, filesystem)
    opened.name, opened.number = spec.name, table.version()
    return opened


def _schema(table: DeltaTable, spec: TableSpec) -> pa.Schema:
    there = pa.schema(table.schema().to_arrow())
    fields = [
        there.field(name) if name in there.names else spec.schema.field(name)
        for name in spec.schema.names
    ]
    return pa.schema(fields + [field for field in there if field.name not in spec.schema.names])


def _bounded(schema: pa.Schema, known: set[str]) -> list[str]:
    """Columns by whose bounds files are skipped: what can be exact, where the log has any."""
    return [
        field.name
        for field in schema
        if (pa.types.is_integer(field.type) or pa.types.is_string(field.type))
        and {f"{kind}.{field.name}" for kind in ("min", "max", "null_count")} <= known
    ]


def _expression(row: dict[str, Any], spec: TableSpec, bounded: list[str]) -> ds.Expression:
    """What is true of every row of a file."""
    whole = ds.scalar(True)
    for name in spec.partition_by:
        whole = ds.field(name) == row[f"partition.{name}"]
    for name in bounded:
        low, high = row[f"min.{name}"], row[f"max.{name}"]
        if low is not None and high is not None and row[f"null_count.{name}"] == 0:
            whole = whole & (ds.field(name) >= low) & (ds.field(name) <= high)
    return whole

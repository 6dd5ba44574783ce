"""Open, pin and read the lake's tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from boatseg_core.errors import ConfigError, LakeError, LakeUnusable
from boatseg_core.lake.arrow import Version, open_dataset
from boatseg_core.lake.files import Files, open_files
from boatseg_core.lake.files_store import say_answer
from boatseg_core.lake.schemas import TABLES, TableSpec

if TYPE_CHECKING:
    from typing import Self

    from boatseg_core.config import Settings


# delta-rs makes a URI of every path and does not always make the same path of it again.
_MISTAKEN = re.compile(r"%[0-9A-Fa-f]{2}|[\\\x00-\x1f]")
_GAP = re.compile(r"but found gap: .*?\bversion: (\d+),.*?->")


class Reader:
    """A set of Delta tables below one root, to read; see :class:`boatseg_core.lake.Lake`.

    Args:
        root: Folder or object store URI; the tables are its children.
        storage_options: Options of the object store, as delta-rs names them.
        durable: Whether a commit on this machine waits until it is on the disk.

    Raises:
        ConfigError: The root has a name that delta-rs would take for another.
    """

    def __init__(
        self, root: str, storage_options: dict[str, str] | None = None, *, durable: bool = True
    ) -> None:
        if _MISTAKEN.search(root):
            raise ConfigError(
                f"the lake cannot be in {root!r}: a path with a backslash, a control character, or "
                "a % before two hexadecimal digits is taken for another one by Delta; move the "
                "home, or set lake_uri"
            )
        self.root = root.rstrip("/")
        self.storage_options = dict(storage_options or {})
        self.durable = durable

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open the lake that the settings name."""
        return cls(settings.lake_root, settings.storage_options, durable=settings.lake.durable)

    @cached_property
    def files(self) -> Files:
        """The files below the root."""
        return open_files(self.root, self.storage_options, durable=self.durable)

    def uri(self, name: str) -> str:
        """Location of a table.

        Raises:
            LakeError: No table has that name.
        """
        spec_of(name)
        return f"{self.root}/{name}"

    def exists(self, name: str) -> bool:
        """Whether a table was created."""
        try:
            return DeltaTable.is_deltatable(self.uri(name), self.storage_options or None)
        except OSError as error:
            raise LakeUnusable(
                f"table {name} in {self.root} cannot be read: {say_answer(error)}"
            ) from error

    def table(self, name: str, version: int | None = None) -> DeltaTable:
        """Open a table.

        Args:
            name: One of :data:`boatseg_core.lake.schemas.TABLES`.
            version: Delta version to pin; ``None`` for the newest.

        Raises:
            LakeError: The table or the version does not exist, or its log cannot be read.
        """
        try:
            return DeltaTable(
                self.uri(name), version=version, storage_options=self.storage_options or None
            )
        except TableNotFoundError as error:
            if version is not None and self.exists(name):
                raise LakeError(
                    f"table {name} no longer has version {version}: its log has been cleaned up"
                ) from error
            raise LakeError(
                f"table {name} does not exist yet in {self.root}: `boatseg ingest` writes the "
                "tables up to gold, `boatseg run` the others, too"
            ) from error
        except DeltaError as error:
            newest = None if version is None else self.version(name)
            if version is not None and newest is not None and version > newest:
                raise LakeError(
                    f"table {name} has no version {version}: its newest is {newest}"
                ) from error
            at = "" if version is None else f" at version {version}"
            reason = _say_log(error)
            raise LakeUnusable(
                f"table {name}{at} in {self.root} cannot be opened: {reason}; `boatseg lake "
                "doctor` says what is damaged"
            ) from error
        except OSError as error:  # permissions, or a store that does not answer
            reason = " ".join(str(error).split())
            raise LakeUnusable(f"table {name} in {self.root} cannot be read: {reason}") from error

    def version(self, name: str) -> int | None:
        """Newest Delta version of a table; ``None`` before it was created."""
        return self.table(name).version() if self.exists(name) else None

    def dataset(self, name: str, version: int | None = None) -> Version:
        """Open a table as an Arrow dataset, without reading data.

        It has every column that the code knows; those that the table, or the pinned version of it,
        does not have are null.
        """
        return open_dataset(
            self.table(name, version), spec_of(name), self.uri(name), self.storage_options
        )

    def scan(self, name: str, version: int | None = None) -> pl.LazyFrame:
        """Scan a table lazily, with projection and partition pruning.

        Returns:
            Lazy frame; empty with the table's columns when the table does not exist yet.
        """
        if version is None and not self.exists(name):
            return pl.LazyFrame(_empty(spec_of(name)))
        return pl.scan_pyarrow_dataset(self.dataset(name, version))

    def read(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        batch_id: str | None = None,
        version: int | None = None,
    ) -> pl.DataFrame:
        """Read columns of a table into memory.

        Args:
            name: Table.
            columns: Columns to read; by default all that are not binary.
            batch_id: Restrict to one batch (only its files are opened).
            version: Delta version to pin.
        """
        frame = self.scan(name, version)
        if batch_id is not None:
            frame = frame.filter(pl.col("batch_id") == batch_id)
        return frame.select(list(columns or spec_of(name).narrow)).collect()

    def batches(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        batch_id: str | None = None,
        version: int | None = None,
        rows: int = 64,
    ) -> Iterator[pa.RecordBatch]:
        """Stream a table in small record batches, for tables with pictures.

        Args:
            name: Table.
            columns: Columns to read; by default all.
            batch_id: Restrict to one batch (only its files are opened).
            version: Delta version to pin.
            rows: Most rows in one record batch.
        """
        if version is None and not self.exists(name):
            return
        for batch in self.dataset(name, version).to_batches(
            columns=list(columns) if columns else None,
            filter=None if batch_id is None else ds.field("batch_id") == batch_id,
            batch_size=rows,
            # Read-ahead is counted in batches and files: the defaults hold gigabytes of pictures.
            batch_readahead=2,
            fragment_readahead=1,
            # By default a whole file's columns are fetched before its first row: twice the memory.
            fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=False),
        ):
            if batch.num_rows:
                yield batch

    def pick(
        self,
        name: str,
        columns: Sequence[str],
        image_ids: Sequence[str],
        *,
        batch_ids: Sequence[str],
        version: int | None = None,
    ) -> pl.DataFrame:
        """Read a few images' rows, pictures included, without holding their neighbours.

        Args:
            name: Table.
            columns: Columns besides ``image_id`` and ``batch_id``.
            image_ids: Images wanted.
            batch_ids: Batches to look in (only their files are opened).
            version: Delta version to pin.

        Returns:
            The rows found, in no particular order.
        """
        spec = spec_of(name)
        keep = ["image_id", "batch_id", *columns]
        schema = pa.schema([spec.schema.field(column) for column in keep])
        wanted = ds.field("batch_id").isin(list(batch_ids)) & ds.field("image_id").isin(
            list(image_ids)
        )
        found: list[pa.RecordBatch] = []
        if image_ids and (version is not None or self.exists(name)):
            rows = self.dataset(name, version).to_batches(
                columns=keep, filter=wanted, batch_size=64, batch_readahead=2, fragment_readahead=1
            )
            found = [batch.cast(schema) for batch in rows if batch.num_rows]
        frame = pl.from_arrow(pa.Table.from_batches(found, schema=schema))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def counts(self, name: str, version: int | None = None) -> dict[str, int]:
        """Count the rows of each batch from the transaction log alone."""
        actions = self._files(name, version)
        if actions is None:
            return {}
        return dict(
            actions.group_by("partition.batch_id").agg(pl.col("num_records").sum()).iter_rows()
        )

    def count(self, name: str, version: int | None = None) -> int:
        """Count the rows of a table from the transaction log alone."""
        actions = self._files(name, version)
        return 0 if actions is None else int(actions["num_records"].sum())

    def _files(self, name: str, version: int | None) -> pl.DataFrame | None:
        if version is None and not self.exists(name):
            return None
        actions = pl.DataFrame(pa.table(self.table(name, version).get_add_actions(flatten=True)))
        return None if actions.is_empty() else actions


def spec_of(name: str) -> TableSpec:
    """What a table looks like.

    Raises:
        LakeError: No table has that name.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise LakeError(f"no table is called {name!r}: there are {', '.join(TABLES)}") from None


def _say_log(error: DeltaError) -> str:
    """What is wrong with a log; delta-rs says of a gap how it holds both its ends in memory."""
    text = str(error)
    if gap := _GAP.search(text):
        return f"version {int(gap[1]) + 1} is missing in its log"
    return text.splitlines()[0]


def _empty(spec: TableSpec) -> pl.DataFrame:
    frame = pl.from_arrow(spec.schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame

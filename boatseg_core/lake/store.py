"""Open, read, append to and atomically replace partitions of the lake's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError

from boatseg_core.errors import LakeError, LakeUnusable, LostRace
from boatseg_core.lake.commit import (
    Lost,
    checkpoint_when_due,
    commit,
    files_of_batch,
    log_entry,
    settle,
)
from boatseg_core.lake.evolve import add_missing_columns, missing_columns
from boatseg_core.lake.files_store import say_answer
from boatseg_core.lake.parts import as_schema, write_parts
from boatseg_core.lake.pump import Pump
from boatseg_core.lake.reader import Reader, spec_of
from boatseg_core.lake.schemas import TableSpec

if TYPE_CHECKING:
    from boatseg_core.lake.sql import Answer

Data: TypeAlias = "pl.DataFrame | pa.Table | pa.RecordBatchReader"

_ATTEMPTS = 50


class Lake(Reader):
    """A set of Delta tables below one root, to read and to write.

    Args:
        root: Folder or object store URI; the tables are its children.
        storage_options: Options of the object store, as delta-rs names them.
        durable: Whether a commit on this machine waits until it is on the disk.
    """

    def create(self, name: str) -> DeltaTable:
        """Create a table where it is missing, add the columns it lacks, and open it."""
        if not self.exists(name):
            with self.files.committing():
                self._make(name)
        table = self.table(name)
        if missing_columns(table, spec_of(name)):
            with self.files.committing():
                table = add_missing_columns(self.files, table, spec_of(name))
                settle(self.files, name, table.version())
        return table

    def _make(self, name: str) -> None:
        spec = spec_of(name)
        try:
            if "://" not in self.root:
                Path(self.root).mkdir(parents=True, exist_ok=True)
            DeltaTable.create(
                self.uri(name),
                schema=spec.schema,
                mode="ignore",
                partition_by=list(spec.partition_by) or None,
                name=name,
                description=spec.description,
                # Models name the version they were trained on: it can be read for a year,
                # for as long as nobody vacuums.
                configuration={"delta.logRetentionDuration": "interval 365 days"},
                storage_options=self.storage_options or None,
                # A retry would commit the same metadata again as version 1, on which the
                # winner's first write then fails.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError:
            # Another process was faster between the look and the commit: its table is ours.
            if not self.exists(name):
                raise
        except (OSError, DeltaError) as error:
            raise LakeUnusable(
                f"table {name} cannot be created in {self.root}: {say_answer(error)}"
            ) from error
        log = f"{name}/_delta_log"
        self.files.sync([log_entry(name, 0), log, name])

    def sql(self, query: str, **options: Any) -> Answer:
        """Ask the tables in SQL; see :func:`boatseg_core.lake.sql.ask`."""
        from boatseg_core.lake.sql import ask

        return ask(self, query, **options)

    def append(
        self,
        name: str,
        data: Data,
        *,
        app_id: str | None = None,
        app_version: int = 1,
        app_after: int | None = None,
    ) -> int | None:
        """Append rows, at most once for an application transaction.

        Args:
            name: Table.
            data: Rows in the table's columns.
            app_id: Name of the application transaction; a second append under the same name and
                a version that is not higher is skipped, whoever makes it.
            app_version: Version of the application transaction.
            app_after: Commit only if the transaction's version is still this one (0 for none):
                whoever committed in between has changed what the rows were made from.

        Returns:
            New Delta version, or ``None`` when the transaction had already been committed.

        Raises:
            LakeError: The disk refuses, or other processes kept committing first.
        """

        def once(table: DeltaTable) -> CommitProperties | None:
            # Looked up through the very object that commits: delta-rs does not look itself.
            seen = table.transaction_version(app_id or "") or 0
            if seen >= app_version or (app_after is not None and seen != app_after):
                return None
            return CommitProperties(
                app_transactions=[Transaction(app_id or "", app_version)], max_commit_retries=0
            )

        table = self.create(name)
        if app_id is not None and once(table) is None:
            return None  # before anything is written for it
        try:
            return self._write(table, name, data, app=None if app_id is None else once)
        except Lost as error:
            raise LakeError(
                f"table {name} was not appended to, since other processes kept committing first: "
                f"try again ({error})"
            ) from error

    def replace_batch_after(self, name: str, batch_id: str, data: Data, version: int) -> int | None:
        """Replace one batch only if nobody has written to the table since a version.

        For rows that were made from the table's other batches.

        Args:
            name: Table partitioned by ``batch_id``.
            batch_id: The batch; every row of ``data`` has to carry it.
            data: The batch's rows, all of them; may be empty.
            version: Delta version the rows were made from.

        Returns:
            ``version + 1``, or ``None`` when another process was faster.
        """
        _check_batched(name, batch_id)
        table = self.table(name, version)
        if missing_columns(table, spec_of(name)):
            self.create(name)  # adding them is a version: whoever asks has to look again
            return None
        try:
            return self._write(table, name, data, replace=batch_id, attempts=1)
        except Lost:
            return None

    def replace_batch(
        self, name: str, batch_id: str, data: Data, *, since: DeltaTable | None = None
    ) -> int:
        """Replace one batch of a table in a single atomic commit.

        A batch that has no rows and gets none is no commit.

        Args:
            name: Table partitioned by ``batch_id``.
            batch_id: The batch; every row of ``data`` has to carry it.
            data: The batch's rows, all of them; may be empty.
            since: The table, as :meth:`create` opened it, that rows of the batch were taken over
                from; by default the newest version. Who wrote the batch after it wins.

        Returns:
            Delta version that holds exactly these rows for the batch.

        Raises:
            LakeError: The batch id is not one, the table has no batches, the disk refuses, or
                another process wrote the same batch meanwhile (:class:`LostRace`).
        """
        _check_batched(name, batch_id)  # before a table is made for it
        try:
            table = self.create(name) if since is None else since
            version = self._write(table, name, data, replace=batch_id, idle=True)
        except Lost as error:
            # A commit to another batch is simply followed; of two writers of the SAME batch the
            # later one fails, for its rows were made without knowing the winner's.
            raise LostRace(
                f"batch {batch_id} of table {name} was not written, since another process wrote "
                f"it at the same time: run it again ({error})"
            ) from error
        assert version is not None  # only an application transaction can be there already
        return version

    def _write(
        self,
        table: DeltaTable,
        name: str,
        data: Data,
        *,
        replace: str | None = None,
        app: Callable[[DeltaTable], CommitProperties | None] | None = None,
        attempts: int = _ATTEMPTS,
        idle: bool = False,
    ) -> int | None:
        spec = spec_of(name)
        removes = None if replace is None else files_of_batch(table, replace)
        with ExitStack() as stack:
            pump: Pump | None = None
            batches: Iterable[pa.RecordBatch]
            if isinstance(data, pa.RecordBatchReader):
                batches = pump = stack.enter_context(Pump(data))
            else:
                batches = (data.to_arrow() if isinstance(data, pl.DataFrame) else data).to_batches()
                batches = batches or [_empty_batch(data, spec)]
            try:
                adds = write_parts(
                    self.files, spec, (conform(b, spec) for b in batches), only=replace
                )
                if idle and not adds and removes is not None:
                    now = self.table(name)
                    if not removes(now):
                        return now.version()
                version = commit(
                    self.files,
                    name,
                    table,
                    lambda: self.table(name),
                    adds,
                    removes=removes,
                    app=app,
                    metadata=None if replace is None else {"boatseg.batch_id": replace},
                    attempts=attempts,
                )
            except (DeltaError, OSError) as error:
                if pump is not None and pump.error is error:
                    raise
                raise LakeUnusable(
                    f"table {name} in {self.root} cannot be written: {error}"
                ) from error
        if version is not None:
            checkpoint_when_due(self.files, name, lambda v: self.table(name, v), version)
        return version


def _check_batched(name: str, batch_id: str) -> TableSpec:
    spec = spec_of(name)
    if spec.partition_by != ("batch_id",):
        raise LakeError(f"table {name} is not partitioned by batch_id")
    check_batch_id(batch_id)
    return spec


def check_batch_id(batch_id: str) -> None:
    """Refuse a batch id that is not safe in a path, a predicate and a partition key.

    Raises:
        LakeError: It holds anything but letters, digits and hyphens.
    """
    if not batch_id or not all(c.isascii() and (c.isalnum() or c == "-") for c in batch_id):
        raise LakeError(f"{batch_id!r} is not a batch id (letters, digits and hyphens only)")


def _empty_batch(data: pl.DataFrame | pa.Table, spec: TableSpec) -> pa.RecordBatch:
    """A table without rows has no batches, yet its columns are to be looked at."""
    schema = data.to_arrow().schema if isinstance(data, pl.DataFrame) else data.schema
    return pa.RecordBatch.from_pylist([], schema)


def conform(batch: pa.RecordBatch, spec: TableSpec) -> pa.RecordBatch:
    """Bring rows to the table's column order and types; views of bytes may stay views.

    Raises:
        LakeError: A column is missing.
    """
    schema = spec.schema
    if batch.schema.equals(schema):
        return batch
    missing = [name for name in schema.names if name not in batch.schema.names]
    if missing:
        raise LakeError(f"columns {', '.join(missing)} are missing for table {spec.name}")
    batch = batch.select(schema.names)
    # The writer wants views: made into plain bytes, pictures would be copied for nothing.
    fields = [
        field.with_type(there)
        if pa.types.is_binary(field.type) and pa.types.is_binary_view(there)
        else field
        for field, there in zip(schema, batch.schema.types, strict=True)
    ]
    return as_schema(batch, pa.schema(fields))

"""What the assets tell Dagster about themselves: schemas, versions, lineage."""

from __future__ import annotations

from typing import Any

import dagster as dg

from boatseg_core.lake import TABLES, Lake
from boatseg_dagster.lineage import column_lineage

_OWNERS = {
    "bronze": "team:data-engineering",
    "silver": "team:data-engineering",
    "gold": "team:data-science",
    "model": "team:data-science",
    "serving": "team:ml-engineering",
}


def asset_args(group: str, *kinds: str, table: str | None = None) -> dict[str, Any]:
    """Arguments that every asset has: group, owner, kinds and, for a table, its columns.

    Args:
        group: Asset group.
        *kinds: Badges shown in the graph.
        table: Table the asset writes, for its schema.
    """
    args: dict[str, Any] = {
        "group_name": group,
        "owners": [_OWNERS[group]],
        "kinds": {"python", *kinds},
        "code_version": "1",
    }
    if table is not None:
        spec = TABLES[table]
        columns = [
            dg.TableColumn(name=c.name, type=str(c.type), description=c.comment)
            for c in spec.columns
        ]
        args["kinds"].add("delta")
        args["metadata"] = {
            "dagster/column_schema": dg.TableSchema(columns),
            "dagster/table_name": table,
            "layer": spec.layer,
        }
    return args


def written(
    lake: Lake, table: str, version: int, rows: int, **metadata: Any
) -> dg.MaterializeResult[Any]:
    """Report a table write: the Delta version is the data version that downstream pins.

    Args:
        lake: The lake.
        table: Table written.
        version: Delta version that holds the rows.
        rows: Rows of the batch, or read by this materialization of an unpartitioned table.
        **metadata: Anything else; empty values are left out.
    """
    shown = {name: value for name, value in metadata.items() if value not in (None, {}, [], "")}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(version)),
        metadata={
            "dagster/row_count": lake.count(table, version),
            "dagster/partition_row_count": rows,
            "delta_version": version,
            **column_lineage(table),
            **shown,
        },
    )


def pinned(context: dg.AssetExecutionContext, *tables: str) -> dict[str, int]:
    """Delta versions that this run's upstream materializations name.

    A table that this run did not write is left out and read at its newest version: the version an
    earlier run named may be older than what was written since, or already cleaned up.
    """
    key = context.partition_key if context.has_partition_key else None
    versions: dict[str, int] = {}
    for table in tables:
        records = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(table),
                asset_partitions=None if key is None else [key],
            ),
            limit=1,
        ).records
        event = records[0].asset_materialization if records else None
        if event is not None and records[0].run_id == context.run_id:
            versions[table] = int(str(event.metadata["delta_version"].value))
    return versions


def markdown(text: str) -> dg.MarkdownMetadataValue | None:
    """Wrap Markdown (tables, inline pictures) for the UI; nothing for an empty text."""
    return dg.MetadataValue.md(text) if text else None

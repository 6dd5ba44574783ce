"""What the assets tell Dagster about themselves: schemas, versions, lineage."""

from __future__ import annotations

from typing import Any

import dagster as dg

from boatseg_core.lake import TABLES, Lake

_OWNERS = {
    "bronze": "team:data-engineering",
    "silver": "team:data-engineering",
    "gold": "team:data-science",
    "model": "team:data-science",
    "serving": "team:ml-engineering",
}

# Column lineage into gold: where each column was first written.
_GOLD_LINEAGE = {
    "image_id": ("raw_images", "image_id"),
    "batch_id": ("raw_images", "batch_id"),
    "image": ("raw_images", "image"),
    "width": ("raw_images", "width"),
    "height": ("raw_images", "height"),
    "brightness": ("raw_images", "brightness"),
    "contrast": ("raw_images", "contrast"),
    "sha256": ("raw_images", "sha256"),
    "mask": ("rasterized_masks", "mask"),
    "boat_count": ("rasterized_masks", "boat_count"),
    "boat_area": ("rasterized_masks", "boat_area"),
    "boat_areas": ("rasterized_masks", "boat_areas"),
    "boat_boxes": ("rasterized_masks", "boat_boxes"),
    "boat_centroids": ("rasterized_masks", "boat_centroids"),
    "boat_orientations": ("rasterized_masks", "boat_orientations"),
    "boat_rles": ("rasterized_masks", "boat_rles"),
    "label_version": ("rasterized_masks", "label_version"),
    "group_id": ("image_groups", "group_id"),
    "split": ("image_groups", "split"),
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
            **shown,
        },
    )


def gold_lineage() -> dict[str, dg.TableColumnLineage]:
    """Column lineage of ``gold_dataset``, as materialization metadata."""
    return {
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(dg.AssetKey(table), source)]
                for column, (table, source) in _GOLD_LINEAGE.items()
            }
        )
    }


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

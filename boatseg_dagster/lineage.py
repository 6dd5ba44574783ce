"""Column lineage: from which columns of which assets each column of a table was made.

Only what an asset really reads belongs here; columns made from settings, clocks or models have no
entry. A test holds every name to the schemas.
"""

from __future__ import annotations

import dagster as dg

Sources = dict[str, tuple[tuple[str, str], ...]]

_KEYS = ("image_id", "batch_id")
_MEASURED = (
    *("width", "height", "format", "mode", "brightness", "contrast", "sharpness"),
    *("saturation", "black_share", "white_share"),
)
_SHAPES = (
    *("boat_count", "boat_area", "boat_areas", "boat_boxes"),
    *("boat_centroids", "boat_orientations", "boat_rles"),
)


def _same(table: str, *columns: str) -> Sources:
    return {column: ((table, column),) for column in columns}


def _from(columns: tuple[str, ...], *sources: tuple[str, str]) -> Sources:
    return dict.fromkeys(columns, sources)


_ROWS = (("raw_masks", "encoded_pixels"), ("raw_images", "width"), ("raw_images", "height"))
_PIXELS = (("raw_images", "tiles"), ("raw_images", "sha256"))

LINEAGE: dict[str, Sources] = {
    "image_quality": {
        **_same("raw_images", *_KEYS, *_MEASURED),
        **_from(("passed", "reasons"), *(("raw_images", c) for c in (*_MEASURED, "sha256"))),
        "duplicate_of": (("raw_images", "sha256"), ("raw_images", "image_id")),
    },
    "rasterized_masks": {
        **_same("raw_images", *_KEYS, "width", "height"),
        **_same("raw_masks", "label_version"),
        **_from(("mask", *_SHAPES, "overlap_pixels", "rejected_rows"), *_ROWS),
    },
    "image_groups": {
        **_same("raw_images", *_KEYS),
        **_from(("group_id", "split"), *_PIXELS),
    },
    "gold_dataset": {
        **_same("raw_images", *_KEYS, "image", "width", "height"),
        **_same("raw_images", "brightness", "contrast", "sha256"),
        **_same("rasterized_masks", "mask", *_SHAPES, "label_version"),
        **_same("image_groups", "group_id", "split"),
        **_same("image_quality", "passed", "criteria"),
        "labelled": (("rasterized_masks", "image_id"),),
    },
    "predictions": {
        **_same("raw_images", *_KEYS, "brightness"),
        **_from(
            ("boat_count", "boat_area", "boat_areas", "boat_boxes", "boat_scores", "boat_rles"),
            ("raw_images", "image"),
            ("image_quality", "passed"),
        ),
    },
}


def column_lineage(table: str) -> dict[str, dg.TableColumnLineage]:
    """Column lineage of a table as materialization metadata; empty for one that has none."""
    if table not in LINEAGE:
        return {}
    return {
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(dg.AssetKey(asset), source) for asset, source in deps]
                for column, deps in LINEAGE[table].items()
            }
        )
    }

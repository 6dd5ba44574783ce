from __future__ import annotations

import pytest

from boatseg_core.lake import TABLES
from boatseg_dagster.definitions import defs
from boatseg_dagster.lineage import LINEAGE, column_lineage

# Made from settings, from clocks, or by a model: no column of a table says what is in them.
FROM_ELSEWHERE = {
    "image_quality": {"criteria"},
    "rasterized_masks": {"mask_format"},
    "image_groups": set(),
    "gold_dataset": set(),
    "predictions": {"model_name", "model_version", "scored_at"},
}
ASSETS = {"predictions": "batch_predictions"}


@pytest.mark.parametrize("table", LINEAGE)
def test_every_column_is_explained_by_columns_that_exist(table: str) -> None:
    columns = set(TABLES[table].schema.names)
    explained = LINEAGE[table]
    assert set(explained) <= columns
    assert columns - set(explained) <= FROM_ELSEWHERE[table]
    for column, sources in explained.items():
        assert sources, column
        for source, name in sources:
            assert name in TABLES[source].schema.names, (column, source, name)


@pytest.mark.parametrize("table", LINEAGE)
def test_lineage_names_only_assets_that_the_asset_depends_on(table: str) -> None:
    graph = defs.resolve_asset_graph()
    (key,) = [k for k in graph.get_all_asset_keys() if k.path == [ASSETS.get(table, table)]]
    parents = {parent.to_user_string() for parent in graph.get(key).parent_keys}
    assert {source for deps in LINEAGE[table].values() for source, _ in deps} <= parents


def test_tables_without_lineage_have_none() -> None:
    assert column_lineage("raw_images") == {}
    ((name, lineage),) = column_lineage("gold_dataset").items()
    assert name == "dagster/column_lineage"
    assert lineage.deps_by_column["labelled"][0].column_name == "image_id"

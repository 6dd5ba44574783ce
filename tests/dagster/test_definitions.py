from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg

from boatseg_dagster.definitions import build_defs, defs

SNAPSHOT = Path(__file__).parent / "snapshots" / "specs.json"

HEAVY = ["torch", "torchvision", "pytorch_lightning", "mlflow", "optuna", "ray", "onnxruntime"]

LOAD = """
import sys, time
import dagster
started = time.process_time()
import boatseg_dagster.definitions
seconds = time.process_time() - started
print(seconds, *(name for name in {heavy} if name in sys.modules))
"""


def described(definitions: dg.Definitions) -> dict[str, Any]:
    """Everything a user or another code location could depend on."""
    graph = definitions.resolve_asset_graph()
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        schema = node.metadata.get("dagster/column_schema")
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": list(node.owners),
            "deps": sorted(dep.to_user_string() for dep in node.parent_keys),
            "partitions": node.partitions_def.name if node.partitions_def else None,
            "code_version": node.code_version,
            "description": node.description,
            "columns": [column.name for column in schema.columns] if schema else None,
            "checks": sorted(check.name for check in graph.get_check_keys_for_assets({key})),
        }
    repository = definitions.get_repository_def()
    return {
        "assets": assets,
        "jobs": sorted(name for name in repository.job_names if not name.startswith("__")),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
        "schedules": {s.name: s.cron_schedule for s in repository.schedule_defs},
    }


def test_definitions_are_those_of_the_snapshot() -> None:
    """Set BOATSEG_UPDATE_SNAPSHOTS=1 to accept a change that is meant."""
    found = json.loads(json.dumps(described(defs)))
    if os.environ.get("BOATSEG_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")

    assert found == json.loads(SNAPSHOT.read_text())


def test_every_table_column_has_a_sentence() -> None:
    for asset in defs.resolve_all_asset_specs():
        schema = asset.metadata.get("dagster/column_schema")
        if schema is not None:
            for column in schema.columns:
                assert column.description, f"{asset.key.to_user_string()}.{column.name}"
                assert column.description.endswith("."), column.description


def test_loading_is_quick_and_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(heavy=HEAVY)],
        capture_output=True,
        text=True,
        check=True,
    )

    seconds, *heavy = done.stdout.split()
    assert heavy == []
    # Processor time: a busy machine must not fail it. The definitions may cost 2 s beyond dagster.
    assert float(seconds) < 2.0


def test_a_factory_takes_another_home(tmp_path: Path) -> None:
    from boatseg_dagster.resources import Boatseg

    resource = Boatseg(home=str(tmp_path))

    definitions = build_defs(resource)

    assert definitions.resources == {"boatseg": resource}
    assert resource.settings().paths.root == tmp_path

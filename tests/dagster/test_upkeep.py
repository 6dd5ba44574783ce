"""The weekly care of the tables, run as Dagster runs it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
from support.homes import boatseg, fill, lake_of

from boatseg_dagster.assets.upkeep import keep_lake, lake_upkeep, weekly_upkeep
from boatseg_dagster.definitions import build_defs
from boatseg_dagster.resources import Boatseg


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for seed in range(3):
        fill(tmp_path / "home", 4, seed=seed)
        assert boatseg(tmp_path / "home", "ingest") == 0
    return tmp_path / "home"


def test_upkeep_compacts_and_says_what_it_did(home: Path) -> None:
    lake = lake_of(home)
    rows = {name: lake.count(name) for name in ("files", "raw_masks")}
    result = dg.materialize([lake_upkeep], resources={"boatseg": Boatseg(home=str(home))})

    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("lake_is_sound", True)
    metadata = result.asset_materializations_for_node("lake_upkeep")[0].metadata
    assert metadata["files_compacted"].value >= 4
    assert metadata["data_files"].value["files"] >= 1
    assert {name: lake.count(name) for name in rows} == rows
    assert lake.table("files").transaction_version("seal") == 3


def test_a_damaged_table_fails_the_check_and_not_the_care_of_the_others(home: Path) -> None:
    log = home / "lake" / "raw_images" / "_delta_log"
    sorted(log.glob("*.json"))[-1].write_bytes(b"")
    result = dg.materialize([lake_upkeep], resources={"boatseg": Boatseg(home=str(home))})

    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert "doctor" in str(check.description)
    metadata = result.asset_materializations_for_node("lake_upkeep")[0].metadata
    assert metadata["damaged_tables"].value == ["raw_images"]
    assert metadata["files_compacted"].value >= 4


def test_upkeep_is_asked_for_once_a_week() -> None:
    definitions = build_defs()
    assert definitions.resolve_job_def(keep_lake.name)
    assert weekly_upkeep.cron_schedule == "30 4 * * 0"
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2024, 6, 9, 4, 30))
    evaluated = weekly_upkeep.evaluate_tick(context).run_requests
    assert [request.run_key for request in evaluated or []] == ["upkeep-202406090430"]

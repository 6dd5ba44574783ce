"""What a run says of the checks its data went through, on a home with faults in it."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from boatseg_core.config import load_settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.ingest.quality import criteria_hash
from boatseg_core.lake import TABLES
from boatseg_core.training.data_checks import data_checks, tags


def put(lake, table, batch, rows):
    filled = [{"batch_id": batch, **row} for row in rows]
    lake.replace_batch(table, batch, pa.Table.from_pylist(filled, TABLES[table].schema))


def verdict(image_id, reasons=(), duplicate_of=None):
    return {
        "image_id": image_id,
        "passed": not reasons,
        "reasons": list(reasons),
        "duplicate_of": duplicate_of,
    }


def test_every_rejection_of_the_batches_in_gold_is_counted(gold, settings):
    lake, batch = gold.lake, "b-1"
    there = gold.index()["image_id"].to_list()
    put(
        lake,
        "image_quality",
        batch,
        [
            *(verdict(name) for name in there),
            verdict("dark.png", ["brightness", "contrast"]),
            verdict("again.png", ["duplicate"], there[0]),
            verdict("dark-again.png", ["brightness", "duplicate"], "dark.png"),
        ],
    )
    put(lake, "image_quality", "b-2", [verdict("elsewhere.png", ["brightness"])])
    put(lake, "quarantine", batch, [{"image_id": "half.png", "reason": "truncated"}])
    put(lake, "label_issues", batch, [{"image_id": "dark.png", "reason": "odd_length"}] * 2)

    found = data_checks(gold, settings)
    (one,) = found["batches"]
    files = len(there) + 4
    assert one == {
        "batch_id": batch,
        "files": files,
        "images": files - 1,
        "failed": 2,  # a duplicate alone is as good as its original
        "duplicates": 2,
        "unmet": {"brightness": 2, "contrast": 1},
        "quarantined": {"truncated": 1},
        "label_issues": {"odd_length": 2},
        "in_gold": len(there),
        "rejected_share": 3 / files,
        "result": "warned",
    }
    assert found["result"] == "warned" and found["criteria"]["min_width"] == 128
    assert found["totals"]["unmet"] == {"brightness": 2, "contrast": 1}
    assert found["tables"] == {
        name: lake.version(name) for name in ("image_quality", "quarantine", "label_issues")
    }
    assert tags(found) == {
        "data_checks": "warned",
        "data_batches": "1",
        "data_rejected": "3",
        "data_duplicates": "2",
        "data_label_issues": "2",
        "data_of_other_criteria": str(len(there)),  # gold of this test was judged by nobody
    }
    lenient = load_settings(home=settings.home, quality={"min_pass_rate": 0.8})
    assert data_checks(gold, lenient)["result"] == "passed"
    strict = {"min_pass_rate": 0.99, "broken_pass_rate": 0.95}
    small = load_settings(home=settings.home, quality=strict, history={"min_images": files + 1})
    assert data_checks(gold, small)["result"] == "warned"  # too few to call a batch broken
    enough = load_settings(home=settings.home, quality=strict, history={"min_images": files})
    assert data_checks(gold, enough)["result"] == "blocked"


def test_the_criteria_gold_was_judged_by_are_told_from_those_in_force(gold, settings):
    lake = gold.lake
    names = TABLES["gold_dataset"].schema.names
    rows = lake.read("gold_dataset", names, version=gold.version).with_columns(
        criteria=pl.when(pl.col("split") == "test")
        .then(pl.lit("older"))
        .otherwise(pl.lit(criteria_hash(settings.quality)))
    )
    lake.replace_batch("gold_dataset", "b-1", rows.to_arrow().cast(TABLES["gold_dataset"].schema))
    found = data_checks(GoldDataset(lake), settings)
    assert found["in_gold"] == {criteria_hash(settings.quality): 19, "older": 5}
    assert tags(found)["data_of_other_criteria"] == "5"


def test_a_lake_with_nothing_but_gold_and_an_empty_gold_have_no_rejections(gold, settings):
    found = data_checks(gold, settings)
    assert found["result"] == "passed" and found["tables"]["quarantine"] is None
    assert data_checks(GoldDataset(gold.lake, 0), settings)["batches"] == []

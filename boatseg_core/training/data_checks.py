"""The data checks that stood between the files and a version of gold, and what they let through.

A model's run keeps this beside its numbers: which criteria were in force, what of each batch in
gold they rejected, and whether a batch was over the limits that warn or block. The tables of silver
are read as they are now; their versions are part of the answer.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from boatseg_core.dataset.gate import is_broken
from boatseg_core.ingest.quality import DUPLICATE, criteria_hash
from boatseg_core.lake.snapshot import Snapshot
from boatseg_core.monitoring.rejection import Rejection

if TYPE_CHECKING:
    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset

_READ = ("image_quality", "quarantine", "label_issues")


def data_checks(gold: GoldDataset, settings: Settings) -> dict[str, Any]:
    """Say what images and labels had to meet, and what became of the batches that gold is made of.

    Args:
        gold: A pinned version of the data set.
        settings: Their criteria and limits are those in force.

    Returns:
        Ready for JSON: ``criteria`` (every one with its value), ``limits`` of the checks that
        compare batches, ``in_gold`` (images by hash of the criteria they were judged by, of which
        ``criteria_hash`` is in force), ``batches`` with what was rejected of each and why,
        ``totals`` of all of them, ``result``, and ``tables`` with the versions read.
    """
    lake, quality = gold.lake, settings.quality
    rows = lake.read("gold_dataset", ["batch_id", "criteria"], version=gold.version)
    batches = sorted(rows["batch_id"].unique())
    snapshot = Snapshot(lake)
    verdicts = snapshot.scan("image_quality", batches).select(
        "batch_id",
        "reasons",
        "passed",
        duplicate=pl.col("duplicate_of").is_not_null(),
    )
    unmet = (
        verdicts.select("batch_id", reason="reasons")
        .explode("reason")
        .filter(pl.col("reason").is_not_null() & (pl.col("reason") != DUPLICATE))
    )
    found = {
        "unmet": _reasons(unmet),
        "quarantined": _reasons(snapshot.scan("quarantine", batches)),
        "label_issues": _reasons(snapshot.scan("label_issues", batches)),
    }
    judged = {
        batch: {"images": images, "failed": failed, "duplicates": duplicates}
        for batch, images, failed, duplicates in verdicts.group_by("batch_id")
        .agg(
            pl.len(),
            # A duplicate has that for a reason besides those of its picture.
            (pl.col("reasons").list.len() > pl.col("duplicate")).sum(),
            pl.col("duplicate").sum().alias("duplicates"),
        )
        .collect()
        .iter_rows()
    }
    in_gold = _counted(rows, "batch_id")
    each = []
    for batch in batches:
        of_batch = judged.get(batch, {"images": 0, "failed": 0, "duplicates": 0})
        reasons = {name: counts.get(batch, {}) for name, counts in found.items()}
        counted = Rejection(
            batch_id=batch,
            files=of_batch["images"] + sum(reasons["quarantined"].values()),
            quarantined=reasons["quarantined"],
            unmet=reasons["unmet"],
            **of_batch,
        )
        each.append(
            {
                **asdict(counted),
                "label_issues": reasons["label_issues"],
                "in_gold": in_gold[batch],
                "rejected_share": counted.share,
                "result": _result(counted, settings),
            }
        )
    results = [batch["result"] for batch in each]
    return {
        "gold_version": gold.version,
        "tables": {name: snapshot.version(name) for name in _READ},
        "criteria": quality.model_dump(mode="json"),
        "criteria_hash": criteria_hash(quality),
        "limits": settings.history.model_dump(mode="json"),
        "in_gold": _counted(rows.with_columns(pl.col("criteria").fill_null("unknown")), "criteria"),
        "batches": each,
        "totals": _totals(each),
        "result": next((r for r in ("blocked", "warned") if r in results), "passed"),
    }


def tags(checks: dict[str, Any]) -> dict[str, str]:
    """What of :func:`data_checks` one wants to filter runs by."""
    totals, hashes = checks["totals"], checks["in_gold"]
    others = sum(number for name, number in hashes.items() if name != checks["criteria_hash"])
    return {
        "data_checks": checks["result"],
        "data_batches": str(len(checks["batches"])),
        "data_rejected": str(totals["failed"] + sum(totals["quarantined"].values())),
        "data_duplicates": str(totals["duplicates"]),
        "data_label_issues": str(sum(totals["label_issues"].values())),
        "data_of_other_criteria": str(others),
    }


def _result(counted: Rejection, settings: Settings) -> str:
    """As the asset check ``rejected_share`` judges a batch."""
    if is_broken(counted, settings):
        return "blocked"
    return "warned" if counted.share > 1 - settings.quality.min_pass_rate else "passed"


def _reasons(rows: pl.LazyFrame) -> dict[str, dict[str, int]]:
    counted = rows.group_by("batch_id", "reason").len().sort("batch_id", "reason").collect()
    found: dict[str, dict[str, int]] = {}
    for batch, reason, number in counted.iter_rows():
        found.setdefault(batch, {})[reason] = number
    return found


def _counted(rows: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(rows[column].value_counts().sort(column).iter_rows())


def _totals(batches: list[dict[str, Any]]) -> dict[str, Any]:
    totals: dict[str, Any] = {
        name: sum(batch[name] for batch in batches)
        for name in ("files", "images", "failed", "duplicates", "in_gold")
    }
    for name in ("unmet", "quarantined", "label_issues"):
        summed: dict[str, int] = {}
        for batch in batches:
            for reason, number in batch[name].items():
                summed[reason] = summed.get(reason, 0) + number
        totals[name] = summed
    return totals

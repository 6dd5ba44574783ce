"""What is outdated: remembered, compared anew, and by queries that know of no shortcut."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from support.histories import History, expected_gold

from boatseg_core.config import Settings
from boatseg_core.config.sections import Split
from boatseg_core.dataset import staleness
from boatseg_core.dataset.differences import CRITERIA, DUPLICATES, GOLD, LABELS, SPLIT, splits_of
from boatseg_core.dataset.gold import IDENTITY
from boatseg_core.dataset.groups import EXCLUDED, split_of
from boatseg_core.dataset.staleness import (
    INCOMPLETE,
    UNGROUPED,
    UNJUDGED,
    Memory,
    all_reasons,
    needs,
    outdated_batches,
)
from boatseg_core.ingest.duplicates import stale_duplicates
from boatseg_core.ingest.quality import criteria_hash
from boatseg_core.ingest.reconcile import incomplete_batches, sealed_batches
from boatseg_core.labels.build import stale_batches
from boatseg_core.lake import Lake


def by_queries(lake: Lake, settings: Settings) -> dict[str, set[str]]:
    """The same answer from whole tables, one plain query a reason."""
    images = lake.counts("raw_images")

    def fewer(name: str) -> list[str]:
        counts = lake.counts(name)
        return [b for b in sealed_batches(lake) if counts.get(b, 0) != images.get(b, 0)]

    quality = lake.read("image_quality", ["batch_id", "criteria"])
    groups = lake.read("image_groups").filter(pl.col("split") != EXCLUDED)
    expected, gold = expected_gold(lake).select(IDENTITY), lake.read("gold_dataset", IDENTITY)
    found = {
        INCOMPLETE: incomplete_batches(lake),
        UNGROUPED: fewer("image_groups"),
        SPLIT: [
            row["batch_id"]
            for row in groups.iter_rows(named=True)
            if split_of(row["group_id"], settings.split) != row["split"]
        ],
        UNJUDGED: fewer("image_quality"),
        CRITERIA: quality.filter(pl.col("criteria") != criteria_hash(settings.quality))["batch_id"],
        DUPLICATES: stale_duplicates(lake),
        LABELS: stale_batches(lake),
        GOLD: [row[1] for row in set(expected.iter_rows()) ^ set(gold.iter_rows())],
    }
    return {
        batch: reasons
        for batch in sealed_batches(lake)
        if (reasons := {reason for reason, batches in found.items() if batch in set(batches)})
    }


@pytest.mark.parametrize("seed", range(int(os.environ.get("BOATSEG_HISTORIES", "2"))))
def test_a_memory_agrees_with_a_fresh_look_and_with_plain_queries(
    lake: Lake, settings: Settings, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staleness, "_AT_ONCE", 3)  # several parts, as with many batches
    history, memory = History(lake, settings, seed), Memory()
    happened: list[str] = []
    seen: Counter[str] = Counter()
    for number in range(40):
        happened.append(history.step() if number > 6 else history.begin(number))
        if history.random.random() < 0.5:  # several things may happen between two looks
            continue
        remembered = memory.look(lake, history.settings)
        fresh = Memory().look(lake, history.settings)
        plain = by_queries(lake, history.settings)
        assert remembered == fresh, happened
        assert {batch: set(reasons) for batch, reasons in fresh.items()} == plain, happened
        seen.update(reason for reasons in plain.values() for reason in reasons)
    assert len(seen) >= 4, "too little happened for this history to prove anything"


def test_a_look_that_failed_is_taken_for_none(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, memory = History(lake, settings, 1), Memory()
    for _ in range(40):
        history.step()
    memory.look(lake, history.settings)
    history.build()
    history.label()
    with monkeypatch.context() as patch:

        def fails(*_: object) -> None:
            raise OSError("the disk does not answer")

        patch.setattr(staleness, "differences", fails)
        with pytest.raises(OSError, match="does not answer"):
            memory.look(lake, history.settings)
    assert memory.look(lake, history.settings) == Memory().look(lake, history.settings)


def test_nothing_is_read_while_nothing_changes(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(lake, settings, 2)
    for _ in range(30):
        history.step()
    first = outdated_batches(lake, history.settings)
    monkeypatch.setattr(pl.LazyFrame, "collect", None)
    assert outdated_batches(lake, history.settings) == first


def test_only_what_can_have_changed_is_compared(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(lake, settings, 3)
    for number in range(8):
        history.seal([f"{number}-{i}.jpg" for i in range(3)])
    compared: list[str] = []
    original = staleness.differences

    def spying(*args: object) -> dict[str, set[str]]:
        compared.extend(args[3])  # type: ignore[arg-type]
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(staleness, "differences", spying)
    memory = Memory()
    memory.look(lake, settings)
    assert sorted(compared) == history.batches
    compared.clear()
    history._chosen = history.batches[4]
    history.read()
    memory.look(lake, settings)
    assert compared == [history.batches[4]]


def test_a_home_made_anew_is_not_mistaken_for_the_old_one(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    for seed in (4, 5):
        history = History(lake, settings, seed)
        for _ in range(25):
            history.step()
        assert all_reasons(lake, history.settings) == Memory().look(lake, history.settings)
        shutil.rmtree(lake.root)


def test_every_reason_says_what_it_needs() -> None:
    assert {needs(reason) for reason in (CRITERIA, DUPLICATES, UNJUDGED, GOLD)} == {"judge"}
    assert needs(LABELS) == "labels"
    assert {needs(reason) for reason in (INCOMPLETE, UNGROUPED, SPLIT)} == {"ingest"}


def test_splits_of_many_are_those_of_each() -> None:
    split = Split(valid_share=0.3, test_share=0.2, salt="ä")
    names = [f"folder {n % 3}/ö{n}.jpg" for n in range(500)]
    found = splits_of(pl.Series(names), split).to_list()
    assert found == [split_of(name, split) for name in names]
    assert set(found) == {"train", "valid", "test"}
    assert splits_of(pl.Series([], dtype=pl.String), split).is_empty()

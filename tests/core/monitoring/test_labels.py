from __future__ import annotations

import numpy as np
import pytest
from support.labelled import table

from boatseg_core.lake import Lake
from boatseg_core.monitoring.labels import Balance, split_balance


def fill(lake: Lake, groups: list[tuple[str, int, int]]) -> None:
    """Gold with groups: split, images, and how many of these show a boat."""
    rows = [
        {
            "image_id": f"{number}-{i}",
            "batch_id": "b1",
            "split": split,
            "group_id": f"g{number}",
            "boat_count": int(i < shown),
            "image": b"",
            "mask": b"",
        }
        for number, (split, images, shown) in enumerate(groups)
        for i in range(images)
    ]
    lake.replace_batch("gold_dataset", "b1", table("gold_dataset", rows))


def of(found: list[Balance], split: str) -> Balance:
    return next(balance for balance in found if balance.split == split)


def test_no_gold_is_no_split(lake: Lake) -> None:
    assert split_balance(lake, 0.1) == []


def test_splits_drawn_alike_are_not_off_however_they_fall(lake: Lake) -> None:
    rng = np.random.default_rng(5)
    off = 0
    for _ in range(40):
        splits = rng.choice(["train", "valid", "test"], 60, p=[0.7, 0.15, 0.15])
        # A group is all boats or none: 5 images a group say no more than one.
        fill(lake, [(str(s), 5, 5 * int(rng.random() < 0.3)) for s in splits])
        off += sum(balance.off for balance in split_balance(lake, 0.1))
    assert off <= 3


def test_a_split_without_boats_is_off(lake: Lake) -> None:
    fill(lake, [("train", 4, 2)] * 40 + [("test", 4, 0)] * 12 + [("excluded", 9, 9)] * 5)
    found = split_balance(lake, 0.1)
    assert [balance.split for balance in found] == ["test", "train"]
    test, train = of(found, "test"), of(found, "train")
    assert (test.images, test.groups, test.share, test.off) == (48, 12, 0, True)
    assert train.overall == pytest.approx(80 / 208)
    assert not of(split_balance(lake, 0.5), "test").off  # as far as the setting allows


def test_few_groups_say_nothing(lake: Lake) -> None:
    fill(lake, [("train", 4, 2)] * 40 + [("test", 400, 0)] * 9)
    test = of(split_balance(lake, 0.1), "test")
    assert (test.judged, test.off) == (False, False)

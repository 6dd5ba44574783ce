"""The order of batches: a function of data and seed, whoever reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.golds import flat

from boatseg_core.dataset import GoldDataset
from boatseg_core.dataset.loader.order import shuffle_quality

OPTIONS: dict[str, Any] = {"size": 16, "batch_size": 5, "buffer_bytes": 60_000, "threads": 2}


def names(loader: Any) -> list[list[str]]:
    return [batch["image_id"].to_pylist() for batch in loader]


@pytest.fixture
def alone(gold: GoldDataset) -> list[list[str]]:
    return names(gold.loader(**OPTIONS))


def test_an_epoch_has_every_image_of_the_split_once(
    gold: GoldDataset, alone: list[list[str]]
) -> None:
    seen = [name for batch in alone for name in batch]
    assert sorted(seen) == sorted(gold.index("train")["image_id"])
    assert seen != sorted(seen)


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("threads", [1, 3])
def test_ranks_together_see_the_same_sequence(
    gold: GoldDataset, alone: list[list[str]], world_size: int, threads: int
) -> None:
    options = OPTIONS | {"threads": threads, "world_size": world_size}
    ranks = [names(gold.loader(**options, rank=rank)) for rank in range(world_size)]
    assert len({len(part) for part in ranks}) == 1
    assert [batch for turn in zip(*ranks, strict=True) for batch in turn] == alone


@pytest.mark.parametrize("world_size", [5, 7])
def test_every_rank_has_as_many_batches_and_evaluation_leaves_none_out(
    gold: GoldDataset, world_size: int
) -> None:
    def parts(**options: Any) -> list[list[list[str]]]:
        options |= {"world_size": world_size}
        loaders = [gold.loader(**(OPTIONS | options), rank=rank) for rank in range(world_size)]
        found = [names(loader) for loader in loaders]
        assert [len(part) for part in found] == [len(loader) for loader in loaders]
        return found

    assert {len(part) for part in parts()} == {12 // world_size}
    everything = [n for part in parts(shuffle=False, batch_size=7) for batch in part for n in batch]
    assert sorted(everything) == sorted(gold.index("train")["image_id"])


def test_ranks_are_those_of_the_launcher(
    gold: GoldDataset, alone: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    assert names(gold.loader(**OPTIONS)) == alone[1::3]


def test_epochs_follow_one_another_and_can_be_chosen(
    gold: GoldDataset, alone: list[list[str]]
) -> None:
    loader = gold.loader(**OPTIONS)
    first, second = names(loader), names(loader)
    assert first == alone
    assert second != first
    assert sorted(flat(second)) == sorted(flat(first))
    assert loader.epoch == 2
    loader.set_epoch(1)
    assert names(loader) == second
    assert names(gold.loader(**OPTIONS, seed=1)) != first


def test_other_data_has_another_order(gold: GoldDataset) -> None:
    loader = gold.loader(**OPTIONS)
    before = loader.order(0).tolist()
    table = gold.lake.dataset("gold_dataset").to_table()
    batch = "b2"
    chosen = table.filter([name == batch for name in table["batch_id"].to_pylist()])
    gold.lake.replace_batch("gold_dataset", batch, chosen)
    newer = GoldDataset(gold.lake).loader(**OPTIONS)
    assert newer.images == loader.images
    assert newer.order(0).tolist() != before
    assert names(gold.loader(**OPTIONS)) == names(loader)  # the pinned version is as it was


def test_a_small_buffer_mixes_less_and_a_large_one_wholly(gold: GoldDataset) -> None:
    def quality(size: int) -> float:
        loader = gold.loader(**(OPTIONS | {"buffer_bytes": size}))
        return float(np.mean([shuffle_quality(loader.order(e))["neighbours"] for e in range(20)]))

    assert quality(1) < 0.4
    assert quality(10**9) > 0.8


def test_the_figure_tells_sorted_from_uniform() -> None:
    count = 3000
    sorted_ = shuffle_quality(np.arange(count))
    uniform = shuffle_quality(np.random.default_rng(0).permutation(count))
    rotated = shuffle_quality(np.roll(np.arange(count), count // 2))
    assert sorted_["displacement"] == 0 and sorted_["neighbours"] < 0.01
    assert 0.95 < uniform["displacement"] < 1.05 and 0.95 < uniform["neighbours"] < 1.05
    assert rotated["displacement"] > 1 and rotated["neighbours"] < 0.01  # why there are two


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_the_share_of_boats_is_exact_and_draws_are_even(gold: GoldDataset, share: float) -> None:
    loader = gold.loader(**OPTIONS, boat_share=share)
    seen = flat(names(loader))
    boats = [name for name in seen if int(name[:4]) % 3 == 0]
    empty = [name for name in seen if int(name[:4]) % 3]
    assert (len(boats), len(empty)) == (round(60 * share), 60 - round(60 * share))
    for kind, size in ((boats, 20), (empty, 40)):
        times = [kind.count(name) for name in set(kind)]
        assert len(times) == min(size, len(kind))
        assert not times or max(times) - min(times) <= 1


def test_an_epoch_may_be_longer_or_shorter_than_the_split(gold: GoldDataset) -> None:
    seen = flat(names(gold.loader(**OPTIONS, images=150)))
    times = {seen.count(name) for name in set(seen)}
    assert (len(seen), len(set(seen)), times) == (150, 60, {2, 3})
    few = flat(names(gold.loader(**OPTIONS, images=20)))
    assert len(few) == len(set(few)) == 20


def test_orders_are_the_same_on_every_machine(gold: GoldDataset) -> None:
    """Golden values: a change of them breaks every state that was saved, and has to be meant."""
    loader = gold.loader(**(OPTIONS | {"buffer_bytes": 10**9}), seed=3)
    assert loader.order(2)[:12].tolist() == [42, 13, 21, 56, 4, 14, 12, 20, 39, 0, 27, 44]


def test_evaluation_is_in_stored_order(gold: GoldDataset) -> None:
    loader = gold.loader("valid", size=16, batch_size=4)
    assert loader.order(0).tolist() == list(range(15))
    assert [len(batch) for batch in names(loader)] == [4, 4, 4, 3]
    assert names(loader) == names(loader)

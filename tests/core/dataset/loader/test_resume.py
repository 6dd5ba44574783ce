from __future__ import annotations

import json
import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support import golds
from support.golds import flat

from boatseg_core.dataset import GoldDataset
from boatseg_core.dataset.loader import pipeline
from boatseg_core.errors import InputError
from boatseg_core.lake import Lake

OPTIONS: dict[str, Any] = {
    "crop": 16,
    "batch_size": 5,
    "boat_share": 0.5,
    "centred": 0.5,
    "buffer_bytes": 60_000,
    "threads": 2,
}


def content(batch: dict[str, Any]) -> tuple[list[str], bytes, bytes]:
    return batch["image_id"].to_pylist(), batch["image"].tobytes(), batch["mask"].tobytes()


def take(loader: Any, count: int) -> list[tuple[list[str], bytes, bytes]]:
    """The next batches, over as many epochs as it takes."""
    found: list[tuple[list[str], bytes, bytes]] = []
    while len(found) < count:
        found += [content(batch) for batch in islice(loader, count - len(found))]
    return found


def test_resuming_after_every_step_equals_never_having_stopped(gold: GoldDataset) -> None:
    whole = take(gold.loader(**OPTIONS), 30)  # two and a half epochs
    for step in range(28):
        loader = gold.loader(**OPTIONS)
        assert take(loader, step) == whole[:step]
        state = json.loads(json.dumps(loader.state_dict()))
        other = gold.loader(**OPTIONS)
        other.load_state_dict(state)
        assert other.state_dict() == state
        assert take(other, 2) == whole[step : step + 2]


@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_it_goes_on_with_another_number_of_ranks(
    gold: GoldDataset, before: int, after: int
) -> None:
    whole = take(gold.loader(**OPTIONS), 12)
    ranks = [gold.loader(**OPTIONS, rank=rank, world_size=before) for rank in range(before)]
    for rank in ranks:
        take(rank, 2)
    states = [rank.state_dict() for rank in ranks]
    assert all(state == states[0] for state in states)

    found = {}
    for rank in range(after):
        loader = gold.loader(**OPTIONS, rank=rank, world_size=after)
        loader.load_state_dict(states[0])
        found[rank] = [content(batch) for batch in loader]
        assert loader.epoch == 1
    assert len({len(part) for part in found.values()}) == 1
    left = whole[2 * before :]
    expected = left[: len(left) - len(left) % after]
    assert sorted(flat(found.values())) == sorted(expected)


def test_what_was_seen_is_neither_decoded_nor_read_again(
    gold: GoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = gold.loader(**OPTIONS)
    take(loader, 10)
    other = gold.loader(**OPTIONS)
    other.load_state_dict(loader.state_dict())
    decoded, read = [], []
    region, rows_of = pipeline.region, other._groups.rows
    monkeypatch.setattr(pipeline, "region", lambda *a: decoded.append(1) or region(*a))
    monkeypatch.setattr(other._groups, "rows", lambda *a: read.append(a) or rows_of(*a))
    assert len(list(other)) == 2
    assert len(decoded) == 10
    rows = [row for _, _, wanted in read for row in wanted]
    assert set(rows) == set(loader.order(0)[50:])


def test_forever_goes_from_epoch_to_epoch_and_skips(gold: GoldDataset) -> None:
    whole = take(gold.loader(**OPTIONS), 30)
    stream = gold.loader(**OPTIONS).forever()
    assert [content(next(stream)) for _ in range(30)] == whole
    for skip in (1, 11, 12, 25):
        stream = gold.loader(**OPTIONS).forever(skip)
        assert [content(next(stream)) for _ in range(3)] == whole[skip : skip + 3]


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 4), ("boat_share", 0.25), ("images", 55), ("buffer_bytes", 9000), ("centred", 0.25)],
)
def test_a_state_of_another_order_is_refused(gold: GoldDataset, name: str, value: Any) -> None:
    state = gold.loader(**OPTIONS).state_dict()
    other = gold.loader(**(OPTIONS | {name: value}))
    with pytest.raises(InputError, match=f"its {name} is .*, the loader's is {value}"):
        other.load_state_dict(state)


def test_a_state_of_other_data_is_refused(gold: GoldDataset, tmp_path: Path) -> None:
    state = gold.loader(**OPTIONS).state_dict()
    for name in ("order_version", "version"):
        with pytest.raises(InputError, match=f"its {name} is 77"):
            gold.loader(**OPTIONS).load_state_dict(state | {name: 77})
    twin = golds.write(Lake(str(tmp_path / "twin"), durable=False), golds.mixed(75))
    assert twin.version == gold.version
    with pytest.raises(InputError, match="its data is"):
        twin.loader(**OPTIONS).load_state_dict(state)


def test_what_does_not_change_the_batches_may_change(gold: GoldDataset) -> None:
    state = gold.loader(**OPTIONS).state_dict()
    other = OPTIONS | {"threads": 1, "ahead": 1, "columns": ("image", "image_id")}
    gold.loader(**other).load_state_dict(state)


def test_an_iteration_that_was_given_up_does_not_move_a_newer_one(gold: GoldDataset) -> None:
    loader = gold.loader(**OPTIONS)
    old = iter(loader)
    next(old)
    assert loader.state_dict()["batch"] == 1
    new = iter(loader)
    first = content(next(new))
    next(old)
    assert loader.state_dict()["batch"] == 1
    assert first == take(gold.loader(**OPTIONS), 1)[0]


def test_a_loader_can_be_sent_to_another_process(gold: GoldDataset) -> None:
    loader = gold.loader(**OPTIONS)
    take(loader, 3)
    other = pickle.loads(pickle.dumps(loader))  # noqa: S301
    assert take(other, 2) == take(gold.loader(**OPTIONS), 2)  # an iteration starts at its epoch

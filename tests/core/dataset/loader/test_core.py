"""What bad input gets, and what is held at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import golds

from boatseg_core.dataset import GoldDataset
from boatseg_core.dataset.loader import feed, pages
from boatseg_core.dataset.loader.groups import Encoded, Groups
from boatseg_core.errors import InputError, LakeError
from boatseg_core.lake import Lake


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8, "split": "tain"}, "no split is called 'tain': there are train, valid"),
        ({"size": 8, "split": "excluded"}, "gold has no excluded image in version 3: ingest"),
        ({}, "say either size=384"),
        ({"size": 8, "crop": 8}, "say either size=384"),
        ({"size": 0}, "0 is no size"),
        ({"size": 8.5}, "8.5 is no size"),
        ({"size": (8, 8, 8)}, r"\(8, 8, 8\) is no size"),
        ({"crop": -3}, "-3 is no size"),
        ({"size": 8, "batch_size": 0}, "batch_size is 0, it has to be 1 or more"),
        ({"size": 8, "batch_size": 61}, "does not give every rank a batch of 61: lower batch_size"),
        ({"size": 8, "rank": 3, "world_size": 3}, "rank 3 is none of the 3 ranks"),
        ({"size": 8, "rank": 3}, "rank and world_size go together"),
        ({"size": 8, "world_size": 20, "rank": 0}, "does not give every rank a batch"),
        ({"size": 8, "boat_share": 1.5}, "boat_share is 1.5, it has to be a share"),
        ({"size": 8, "boat_share": 0.5, "split": "valid"}, "say shuffle=True"),
        ({"size": 8, "columns": ("image", "shade")}, "gold has no column 'shade': there are"),
        ({"size": 8, "columns": ("image_id",)}, "columns names neither image nor mask"),
        ({"crop": 8, "columns": ("mask",)}, "leave image in columns"),
        ({"size": 8, "dtype": "float16"}, "it has to be uint8 or float32"),
        ({"crop": 8, "decoded": True}, "the decoded cache holds scaled images"),
    ],
)
def test_bad_input_gets_one_sentence(
    gold: GoldDataset, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        gold.loader(**options)


def test_a_kind_that_is_missing_is_said(tmp_path: Path) -> None:
    empty = [golds.row(i) for i in range(10) if i % 3]
    gold = golds.write(Lake(str(tmp_path / "a"), durable=False), empty)
    with pytest.raises(InputError, match="no train image of gold has a labelled boat"):
        gold.loader(size=8, batch_size=2, boat_share=0.5)
    boats = [golds.row(i) for i in range(0, 30, 3)]
    gold = golds.write(Lake(str(tmp_path / "b"), durable=False), boats)
    with pytest.raises(InputError, match="there are no empty ones to mix in"):
        gold.loader(size=8, batch_size=2, boat_share=0.5)
    assert len(list(gold.loader(size=8, batch_size=2, boat_share=1.0))) == 5


def test_a_launcher_that_makes_no_sense_is_said(
    gold: GoldDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="the variable RANK is 'x'"):
        gold.loader(size=8)


def test_a_version_that_was_vacuumed_is_said(gold: GoldDataset) -> None:
    loader = gold.loader(size=8, batch_size=4)
    for path in Path(gold.lake.root).rglob("batch_id=b1/*.parquet"):
        path.unlink()
    with pytest.raises(LakeError, match="version 3 of gold_dataset cannot be read any more"):
        list(loader)
    with pytest.raises(LakeError, match="use a newer version"):
        gold.loader(size=8, batch_size=4)


def test_a_damaged_file_is_said(gold: GoldDataset) -> None:
    loader = gold.loader(size=8, batch_size=4)
    path = next(Path(gold.lake.root).rglob("batch_id=b1/*.parquet"))
    path.write_bytes(path.read_bytes()[:100] + bytes(50))
    with pytest.raises(LakeError, match=r"batch_id=b1/\S+ of gold_dataset version 3 cannot be"):
        list(loader)


@pytest.mark.parametrize("buffer_bytes", [1, 60_000, 200_000])
@pytest.mark.parametrize("share", [None, 0.6])
def test_what_is_held_is_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_bytes: int, share: float | None
) -> None:
    """Images read and not used up, where they cannot be read one by one: buffer and read ahead."""
    monkeypatch.setattr(pages, "spans", lambda *_: None)
    rows = [golds.row(i, batch=f"b{i // 50}") for i in range(200)]
    gold = golds.write(Lake(str(tmp_path / "l"), durable=False), rows)
    sizes = {r["image_id"]: len(r["image"]) + len(r["mask"]) for r in rows}
    lock, held, most = threading.Lock(), set(), 0
    read = Groups.rows

    def reading(self: Groups, group: int, table: Any, wanted: Any) -> Any:
        nonlocal most
        found = read(self, group, table, wanted)
        assert all(isinstance(each, Encoded) for each in found.values())
        with lock:
            held.update(self._index.image_id(row) for row in found)
            most = max(most, sum(sizes[name] for name in held))
        return found

    monkeypatch.setattr(Groups, "rows", reading)
    loader = gold.loader(
        size=8, batch_size=2, buffer_bytes=buffer_bytes, boat_share=share, ahead=0, threads=1
    )
    left = np.bincount(loader.order(0), minlength=200)
    names = loader._index.columns["image_id"].to_pylist()
    for batch in loader:
        for name in batch["image_id"].to_pylist():
            left[names.index(name)] -= 1
            if not left[names.index(name)]:
                with lock:
                    held.discard(name)
    assert not held
    group = 5 * max(sizes.values())
    # One row group enters the buffer, one is read ahead, one batch has left and is not seen yet.
    assert most <= max(buffer_bytes, group) + (1 + feed._AHEAD) * group + 2 * max(sizes.values())
    assert buffer_bytes < 100 or most > buffer_bytes / 2

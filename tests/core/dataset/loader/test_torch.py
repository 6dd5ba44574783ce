from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253
from support import golds
from support.golds import flat
from support.s3 import S3Server
from torch.utils.data import DataLoader  # noqa: TID253

from boatseg_core.dataset import GoldDataset
from boatseg_core.errors import InputError

OPTIONS: dict[str, Any] = {"size": 24, "batch_size": 4, "threads": 2}


def names(batches: Any) -> list[list[str]]:
    return [batch["image_id"] for batch in batches]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("decoded", [True, False])
def test_tensors_are_the_arrays(
    gold: GoldDataset, tmp_path: Path, dtype: str, channels_last: bool, decoded: bool
) -> None:
    arrays = gold.loader(**OPTIONS)
    loader = gold.torch(
        **OPTIONS, dtype=dtype, channels_last=channels_last, decoded=decoded, cache=tmp_path
    )
    assert len(loader) == len(arrays) == 15
    for _ in range(2):
        for got, expected in zip(loader, arrays, strict=True):
            image, mask = got["image"], got["mask"]
            assert image.dtype == mask.dtype == getattr(torch, dtype)
            assert image.shape == (4, 3, 24, 24) and mask.shape == (4, 1, 24, 24)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            assert image.is_contiguous(memory_format=layout)
            scaled = expected["image"] * np.float32(1 / 255) if dtype == "float32" else None
            pixels = expected["image"] if scaled is None else scaled
            np.testing.assert_array_equal(image.permute(0, 2, 3, 1).numpy(), pixels)
            np.testing.assert_array_equal(mask[:, 0].numpy(), expected["mask"])
            assert got["image_id"] == expected["image_id"].to_pylist()


def test_only_the_columns_asked_for(gold: GoldDataset) -> None:
    loader = gold.torch(**OPTIONS, columns=("mask", "brightness", "boat_boxes", "image_id"))
    batch = next(iter(loader))
    assert list(batch) == ["mask", "brightness", "boat_boxes", "image_id"]
    numbers = [int(name[:4]) for name in batch["image_id"]]
    assert batch["brightness"].tolist() == numbers
    boxes = [[list(golds.BOX)] if n % 3 == 0 else [] for n in numbers]
    assert batch["boat_boxes"] == boxes


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_worker_processes_deal_the_same_sequence(gold: GoldDataset, workers: int) -> None:
    loader = gold.torch(**OPTIONS)
    expected = names(gold.torch(**OPTIONS))
    dealt = DataLoader(loader, batch_size=None, num_workers=workers)
    assert names(dealt) == expected
    loader.set_epoch(1)
    second = names(dealt)
    assert second != expected and sorted(flat(second)) == sorted(flat(expected))


def test_persistent_workers_go_from_epoch_to_epoch(gold: GoldDataset) -> None:
    alone = gold.torch(**OPTIONS)
    dealt = DataLoader(
        gold.torch(**OPTIONS),
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    assert [names(dealt) for _ in range(2)] == [names(alone) for _ in range(2)]


def test_ranks_with_workers_together_see_the_sequence(gold: GoldDataset) -> None:
    expected = names(gold.torch(**OPTIONS))[:14]
    ranks = [
        names(
            DataLoader(
                gold.torch(**OPTIONS, rank=rank, world_size=2), batch_size=None, num_workers=3
            )
        )
        for rank in range(2)
    ]
    assert [batch for turn in zip(*ranks, strict=True) for batch in turn] == expected


def test_spawned_workers_read_a_lake_in_an_object_store(s3: S3Server, tmp_path: Path) -> None:
    gold = golds.write(golds.lake_in(s3), golds.mixed(30, batches=1))
    loader = gold.torch(**OPTIONS, cache=tmp_path)
    spawned = DataLoader(
        loader, batch_size=None, num_workers=1, multiprocessing_context="spawn", timeout=120
    )
    dealt = names(spawned)
    assert dealt == names(loader)
    loader.set_epoch(0)
    forked = DataLoader(
        gold.torch(**OPTIONS, cache=tmp_path / "empty"),
        batch_size=None,
        num_workers=1,
        multiprocessing_context="fork",
        timeout=60,
    )
    with pytest.raises(InputError, match="multiprocessing_context='spawn'"):
        names(forked)


def test_nothing_is_left_of_an_iterator_that_was_dropped(gold: GoldDataset) -> None:
    def ours() -> list[str]:
        return [t.name for t in threading.enumerate() if "gold" in t.name]

    loader = gold.torch(**OPTIONS)
    batches = iter(loader)
    next(batches)
    assert ours()
    del batches
    gc.collect()
    ends = time.monotonic() + 10
    while ours() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not ours()
    assert len(names(loader)) == 15


def test_a_script_that_stops_half_way_ends(gold: GoldDataset) -> None:
    code = (
        "from boatseg_core.dataset import GoldDataset; from boatseg_core.lake import Lake\n"
        f"batches = iter(GoldDataset(Lake({gold.lake.root!r})).loader(size=24, batch_size=4))\n"
        "print(len(next(batches)['image']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "4\n", "")


def test_the_core_needs_no_torch(gold: GoldDataset) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from boatseg_core.dataset import GoldDataset; from boatseg_core.lake import Lake\n"
        f"loader = GoldDataset(Lake({gold.lake.root!r})).loader(size=24, batch_size=4)\n"
        "print(len(list(loader)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "15\n"), done.stderr


def test_a_torch_loader_can_be_sent(gold: GoldDataset) -> None:
    loader = gold.torch(**OPTIONS)
    assert names(pickle.loads(pickle.dumps(loader))) == names(loader)  # noqa: S301


def test_lightning_goes_on_in_the_middle_of_an_epoch(gold: GoldDataset, tmp_path: Path) -> None:
    import pytorch_lightning as pl

    class Seen(pl.LightningModule):
        def __init__(self, stop: int = 0) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.stop, self.seen = stop, []

        def training_step(self, batch: Any, _: int) -> Any:
            self.seen.append(batch["image_id"])
            return self.weight * batch["image"].float().mean()

        def on_train_batch_end(self, *_: Any) -> None:
            if len(self.seen) == self.stop:
                self.trainer.save_checkpoint(tmp_path / "half.ckpt")
                self.trainer.should_stop = True

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(module: Seen, **options: Any) -> list[list[str]]:
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, gold.torch(**OPTIONS), **options)
        return module.seen

    whole = fit(Seen())
    assert len(whole) == 30
    assert whole == [n for _ in range(1) for n in names_of_epochs(gold, 2)]
    for stop in (7, 18):
        first = fit(Seen(stop))[:stop]
        rest = fit(Seen(), ckpt_path=tmp_path / "half.ckpt")
        assert first + rest == whole


def names_of_epochs(gold: GoldDataset, count: int) -> list[list[str]]:
    loader = gold.torch(**OPTIONS)
    return [batch for _ in range(count) for batch in names(loader)]

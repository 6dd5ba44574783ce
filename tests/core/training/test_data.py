from __future__ import annotations

import numpy as np
import pytest
import torch  # noqa: TID253
from hypothesis import given, settings
from hypothesis import strategies as st

from boatseg_core.config.sections import Train
from boatseg_core.dataset import Sample
from boatseg_core.training import data
from boatseg_core.training.data import CropStream, GoldModule, WholeImages, whole_batches

SIZES = st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), max_size=10)


def sample(number: int, height: int, width: int) -> Sample:
    generator = np.random.default_rng(number)
    return Sample(
        image_id=str(number),
        image=generator.integers(0, 256, (height, width, 3), dtype=np.uint8),
        mask=generator.random((height, width)) < 0.5,
        boat_count=1,
        boat_areas=[1],
        group_id="g",
    )


@settings(deadline=None, max_examples=40)
@given(SIZES, st.integers(1, 4))
def test_batches_hold_every_image_once_in_order_and_unharmed(sizes, batch_size):
    samples = [sample(i, h, w) for i, (h, w) in enumerate(sizes)]
    batches = list(whole_batches(iter(samples), batch_size=batch_size))
    assert [name for batch in batches for name in batch.image_ids] == [s.image_id for s in samples]
    found = iter(samples)
    for batch in batches:
        assert 1 <= len(batch.image_ids) <= batch_size
        assert batch.images.shape[2] % 32 == 0 and batch.images.shape[3] % 32 == 0
        for index, (height, width) in enumerate(batch.sizes):
            expected = next(found)
            assert (height, width) == expected.mask.shape
            image = batch.images[index, :, :height, :width].permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(image, expected.image)
            mask = batch.masks[index, 0]
            np.testing.assert_array_equal(mask[:height, :width].numpy(), expected.mask)
            assert int(mask.sum()) == int(expected.mask.sum())


def test_large_images_go_alone():
    samples = [sample(0, 1700, 1700), sample(1, 1700, 1700)]
    assert [len(b.image_ids) for b in whole_batches(iter(samples), batch_size=4)] == [1, 1]


def test_the_stream_runs_on_from_epoch_to_epoch(gold, settings):
    whole = list(CropStream(gold, settings.train, [5]))
    parts = CropStream(gold, settings.train, [2, 3])
    epochs = [list(parts), list(parts), list(parts)]
    assert [len(epoch) for epoch in epochs] == [2, 3, 0]
    for one, other in zip(whole, epochs[0] + epochs[1], strict=True):
        assert one.image_ids == other.image_ids
        assert torch.equal(one.images, other.images) and torch.equal(one.masks, other.masks)
    assert whole[0].images.dtype == whole[0].masks.dtype == torch.uint8
    assert whole[0].images.shape == (4, 3, 64, 64)


def test_whole_images_are_those_of_the_split(gold):
    seen = [n for b in WholeImages(gold, "valid", limit=0, threads=1) for n in b.image_ids]
    assert sorted(seen) == sorted(gold.index("valid")["image_id"])
    few = [n for b in WholeImages(gold, "valid", limit=2, threads=1) for n in b.image_ids]
    assert len(few) == 2


def test_the_module_deals_batches_as_they_are(gold, settings):
    module = GoldModule(gold, settings.train, [1])
    (batch,) = module.train_dataloader()
    moved = module.transfer_batch_to_device(batch, torch.device("cpu"), 0)
    assert torch.equal(moved.images, batch.images) and moved.image_ids == batch.image_ids
    assert sum(len(batch.image_ids) for batch in module.val_dataloader()) == 5


@pytest.mark.parametrize(
    ("kind", "threads", "devices", "ahead"),
    [
        ("cpu", 4, 1, 0),  # all cores compute
        ("cpu", 2, 2, 0),
        ("cpu", 1, 1, 2),  # some do not
        ("cuda", 4, 1, 2),
    ],
)
def test_crops_are_decoded_beside_the_steps_where_a_core_is_free(
    gold, monkeypatch, kind, threads, devices, ahead
):
    monkeypatch.setattr(data, "device_kind", lambda train: kind)
    monkeypatch.setattr(data.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert data._crops(gold, Train(devices=devices, batch_size=2)).options.ahead == ahead

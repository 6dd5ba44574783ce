from __future__ import annotations

import pytest
import torch  # noqa: TID253

from boatseg_core.training.augment import (
    Strength,
    _flip_x,
    _flip_y,
    _transpose,
    augment,
    light,
    symmetries,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 64, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose first channel is the mask, so that any mismatch between the two shows."""
    masks = (torch.rand(count, 1, size, size, generator=generator(5)) < 0.3).to(torch.uint8)
    images = torch.rand(count, 3, size, size, generator=generator(6))
    images[:, :1] = masks.float()
    return images, masks


def test_symmetries_move_image_and_mask_alike():
    images, masks = symmetries(*batch(), generator())
    assert masks.dtype == torch.uint8
    torch.testing.assert_close(images[:, :1], masks.float())


def test_all_eight_symmetries_occur_and_nothing_else():
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(400, 3, 3, 3)
    moved, _ = symmetries(image, image[:, :1], generator())
    seen = {tuple(item[0].flatten().tolist()) for item in moved}
    square = torch.arange(9.0).view(3, 3)
    allowed = {
        tuple(torch.rot90(side, turns).flatten().tolist())
        for side in (square, square.flip(1))
        for turns in range(4)
    }
    assert seen == allowed


def test_masks_stay_zero_and_one_with_their_area():
    images, masks = batch()
    _, moved = augment(images, masks, generator())
    assert set(moved.unique().tolist()) <= {0, 1}
    assert torch.equal(moved.sum((1, 2, 3)), masks.sum((1, 2, 3)))


def test_images_stay_in_range_and_each_changes_by_itself():
    images, _ = batch()
    changed = light(images, generator(), Strength(haze_share=1.0))
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1
    gaps = (changed - images).abs().mean((1, 2, 3))
    assert len(set(gaps.tolist())) == len(gaps)


def test_no_strength_changes_nothing():
    images, _ = batch()
    torch.testing.assert_close(light(images, generator(), Strength(0, 0, 0, 0, 0)), images)


def test_haze_brings_dark_and_bright_together():
    images, _ = batch()
    hazy = light(images, generator(), Strength(0, 0, 0, haze=0.9, haze_share=1.0))
    assert float(hazy.std()) < 0.8 * float(images.std())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_seed_decides(layout):
    images, masks = batch()
    images = images.contiguous(memory_format=layout)
    first, again, other = (augment(images, masks, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_the_input_is_left_alone():
    images, masks = batch()
    before = images.clone(), masks.clone()
    augment(images, masks, generator())
    assert torch.equal(images, before[0]) and torch.equal(masks, before[1])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_symmetries_of_a_cpu_are_those_of_a_gpu(layout):
    """Images are turned one by one on the one, all at once on the other, to the same end."""
    images = torch.rand(32, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    images = images.contiguous(memory_format=layout)
    masks = (images[:, :1] > 0.5).to(torch.uint8)
    found, inside = symmetries(images, masks, torch.Generator().manual_seed(2))
    assert found.is_contiguous(memory_format=layout)
    coins = torch.rand(3, 32, 1, 1, 1, generator=torch.Generator().manual_seed(2)) < 0.5
    for coin, move in zip(coins, (_flip_x, _flip_y, _transpose), strict=True):
        images = torch.where(coin, move(images), images)
        masks = torch.where(coin, move(masks), masks)
    assert torch.equal(found, images) and torch.equal(inside, masks)

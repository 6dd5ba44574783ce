from __future__ import annotations

import pytest
import torch  # noqa: TID253

from boatseg_core.training import augment_strong
from boatseg_core.training.augment_strong import Camera, blur, compress, strengthen, turn

ALWAYS = Camera(turn_share=1, blur_share=1, jpeg_share=1)
NEVER = Camera(turn_share=0, blur_share=0, jpeg_share=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth seas with a bright boat where the mask says so."""
    masks = torch.zeros(12, 1, 64, 64, dtype=torch.uint8)
    masks[:, :, 24:40, 20:48] = 1
    noise = torch.rand(12, 3, 64, 64, generator=seeded(9)) * 0.05
    return 0.2 + noise + 0.7 * masks, masks


def test_masks_follow_their_boats_and_stay_binary(batch):
    images, masks = turn(*batch, seeded(), ALWAYS)
    assert masks.dtype == torch.uint8 and set(masks.unique().tolist()) == {0, 1}
    bright = images.mean(1, keepdim=True) > 0.55
    for found, mask in zip(bright, masks.bool(), strict=True):
        iou = (found & mask).sum() / (found | mask).sum()
        assert iou > 0.9  # what differs is half a pixel of edge
    areas = masks.flatten(1).sum(1)
    assert areas.min() < 16 * 28 * 0.7 and areas.max() > 16 * 28 * 1.4  # scales differ
    assert not torch.equal(masks[0], batch[1][0])


def test_blur_takes_detail_and_no_light(batch):
    images, _ = batch
    found = blur(images, seeded(), ALWAYS)
    assert (found.std((1, 2, 3)) < images.std((1, 2, 3))).all()
    torch.testing.assert_close(found.mean((2, 3)), images.mean((2, 3)), atol=2e-3, rtol=0)
    flat = torch.full((2, 3, 32, 32), 0.4)
    torch.testing.assert_close(blur(flat, seeded(), ALWAYS), flat)


def test_blur_equals_torchvision(batch):
    from torchvision.transforms.v2 import functional as vision

    images, _ = batch
    generator = seeded(4)
    _, width = torch.rand(2, len(images), generator=seeded(4))
    found = blur(images, generator, ALWAYS)
    for one, image, share in zip(found, images, width.tolist(), strict=True):
        expected = vision.gaussian_blur(image, [11, 11], [0.3 + share * 1.2] * 2)
        torch.testing.assert_close(one, expected, atol=1e-5, rtol=0)


def test_jpeg_spoils_a_little(batch):
    images, _ = batch
    found = compress(images, seeded(), ALWAYS)
    gap = (found - images).abs()
    assert 0.001 < gap.mean() < 0.05 and found.min() >= 0 and found.max() <= 1


def test_shares_of_nothing_change_nothing(batch):
    images, masks = strengthen(*batch, seeded(), NEVER)
    assert torch.equal(images, batch[0]) and torch.equal(masks, batch[1])


def test_the_seed_decides_and_the_batch_is_left_alone(batch):
    before = [part.clone() for part in batch]
    one, other = strengthen(*batch, seeded(3)), strengthen(*batch, seeded(3))
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    assert not torch.equal(one[0], strengthen(*batch, seeded(4))[0])
    assert all(torch.equal(part, old) for part, old in zip(batch, before, strict=True))
    assert one[0].dtype == torch.float32 and one[0].shape == batch[0].shape


def test_what_a_cpu_changes_is_what_a_gpu_changes(batch, monkeypatch):
    """The chosen images alone on the one, all of them and a choice afterwards on the other."""

    def both(seed):
        images, masks = turn(*batch, generator := seeded(seed), Camera())
        return blur(images, generator, Camera()), masks

    picked = both(5)
    monkeypatch.setattr(augment_strong, "_all_at_once", lambda device: True)
    for one, other, old in zip(both(5), picked, batch, strict=True):
        torch.testing.assert_close(one, other)
        same = [torch.equal(a, b) for a, b in zip(one, old, strict=True)]
        assert any(same) and not all(same)

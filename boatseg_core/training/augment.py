"""Augmentation of a whole batch at once, on its device. Imported lazily: it needs torch.

Aerial pictures have no up: the eight symmetries of the square are all natural. Light, colour and
haze change the image only, symmetries change image and mask alike, and no pixel is interpolated,
so a mask stays exactly 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253


@dataclass(frozen=True)
class Strength:
    """How far the augmentation goes; every figure is the end of a uniform range.

    Attributes:
        brightness: Added to all channels, in units of the 0..1 range.
        contrast: Relative change of the distance from the image's mean.
        colour: Relative change of each channel by itself.
        haze: Largest share of white-grey veil.
        haze_share: Share of the images that get haze.
    """

    brightness: float = 0.10
    contrast: float = 0.25
    colour: float = 0.10
    haze: float = 0.35
    haze_share: float = 0.25


def augment(
    images: Tensor, masks: Tensor, generator: torch.Generator, strength: Strength | None = None
) -> tuple[Tensor, Tensor]:
    """Augment a batch; each image draws its own changes.

    Args:
        images: ``[N, 3, S, S]`` float, 0 to 1.
        masks: ``[N, 1, S, S]``.
        generator: On the batch's device; the only source of randomness.
        strength: How far to go.

    Returns:
        Images, clipped to 0..1, and masks, of the same shapes and types.
    """
    images, masks = symmetries(images, masks, generator)
    return light(images, generator, strength or Strength()), masks


def symmetries(images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip and turn by quarter turns: each image one of the eight symmetries of the square."""
    count, device = len(images), images.device
    # Two flips and a transposition generate all eight.
    coins = torch.rand(3, count, 1, 1, 1, generator=generator, device=device) < 0.5
    if device.type == "cpu":
        # One copy of each image instead of six passes over all of them: a fifteenth of the time.
        turns = coins.flatten(1).T.tolist()
        return _turned(images, turns), _turned(masks, turns)
    # On a GPU, where to ask for the coins would be to wait for them.
    for coin, move in zip(coins, (_flip_x, _flip_y, _transpose), strict=True):
        images = torch.where(coin, move(images), images)
        masks = torch.where(coin, move(masks), masks)
    return images, masks


def _turned(batch: Tensor, turns: list[list[bool]]) -> Tensor:
    """Flip along x, along y and transpose each image as asked for."""
    out = torch.empty_like(batch)
    for image, place, (flip_x, flip_y, transpose) in zip(batch, out, turns, strict=True):
        axes = [axis for axis, wanted in ((2, flip_x), (1, flip_y)) if wanted]
        moved = image.flip(axes) if axes else image
        place.copy_(moved.transpose(1, 2) if transpose else moved)
    return out


def light(images: Tensor, generator: torch.Generator, strength: Strength) -> Tensor:
    """Change contrast, colour and brightness, and draw a veil of haze over some images.

    Args:
        images: ``[N, 3, S, S]`` float, 0 to 1.
        generator: On the batch's device.
        strength: How far to go.
    """
    count = len(images)

    def draw(channels: int) -> Tensor:
        return torch.rand(
            count, channels, 1, 1, generator=generator, device=images.device, dtype=images.dtype
        )

    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    gain = 1 + strength.contrast * (2 * draw(1) - 1)
    tint = 1 + strength.colour * (2 * draw(3) - 1)
    shift = strength.brightness * (2 * draw(1) - 1)
    veil = strength.haze * draw(1) * (draw(1) < strength.haze_share)
    grey = 0.6 + 0.3 * draw(1)
    # All of it is one multiplication and one addition a pixel.
    slope = gain * tint * (1 - veil)
    offset = (mean * (1 - gain) * tint + shift) * (1 - veil) + grey * veil
    return torch.addcmul(offset, images, slope).clamp_(0, 1)


def _flip_x(batch: Tensor) -> Tensor:
    return batch.flip(3)


def _flip_y(batch: Tensor) -> Tensor:
    return batch.flip(2)


def _transpose(batch: Tensor) -> Tensor:
    return batch.transpose(2, 3)

"""The stronger half of the augmentation: other scales, directions and cameras. Needs torch.

What :mod:`boatseg_core.training.augment` leaves out because it interpolates or costs time: turning
by any angle and scaling, blur, and JPEG. A mask is sampled to the nearest pixel and stays 0 and 1;
what a turn uncovers is reflected, in image and mask alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.nn import functional  # noqa: TID253


@dataclass(frozen=True)
class Camera:
    """How far the stronger augmentation goes, and how often.

    Attributes:
        turn_share: Share of the images that are turned and scaled.
        scale: Largest factor, either way; log-uniform.
        blur_share: Share that is blurred.
        blur: Largest standard deviation of the blur, in pixels.
        jpeg_share: Share that goes through JPEG.
        jpeg: Lowest and highest quality.
    """

    turn_share: float = 0.5
    scale: float = 1.5
    blur_share: float = 0.2
    blur: float = 1.5
    jpeg_share: float = 0.2
    jpeg: tuple[int, int] = (30, 90)


def strengthen(
    images: Tensor, masks: Tensor, generator: torch.Generator, camera: Camera | None = None
) -> tuple[Tensor, Tensor]:
    """Turn and scale, blur, and compress; each image draws its own changes.

    Args:
        images: ``[N, 3, S, S]`` float32, 0 to 1.
        masks: ``[N, 1, S, S]``, 0 or 1, any type.
        generator: On the batch's device; the only source of randomness.
        camera: How far to go.

    Returns:
        Images, 0 to 1, and masks, of the same shapes and types.
    """
    camera = camera or Camera()
    images, masks = turn(images, masks, generator, camera)
    return compress(blur(images, generator, camera), generator, camera), masks


def turn(
    images: Tensor, masks: Tensor, generator: torch.Generator, camera: Camera
) -> tuple[Tensor, Tensor]:
    """Turn by any angle and scale around the middle."""
    count, device = len(images), images.device
    share, angle, zoom = torch.rand(3, count, generator=generator, device=device)
    angle = angle * 2 * math.pi
    # Output to input: a factor above 1 shows less of the picture, larger.
    factor = torch.exp(-(2 * zoom - 1) * math.log(camera.scale))
    cosine, sine = torch.cos(angle) * factor, torch.sin(angle) * factor
    zero = torch.zeros_like(cosine)
    matrix = torch.stack(
        [torch.stack([cosine, -sine, zero], 1), torch.stack([sine, cosine, zero], 1)], 1
    )
    chosen = torch.nonzero(share < camera.turn_share).flatten()
    if not len(chosen):
        return images, masks
    some = images[chosen]
    grid = functional.affine_grid(matrix[chosen], list(some.shape), align_corners=False)

    def sample(batch: Tensor, mode: str) -> Tensor:
        return functional.grid_sample(
            batch.float(), grid, mode=mode, padding_mode="reflection", align_corners=False
        ).to(batch.dtype)

    images, masks = images.clone(), masks.clone()
    images[chosen] = sample(some, "bilinear")
    masks[chosen] = sample(masks[chosen], "nearest")
    return images, masks


def blur(images: Tensor, generator: torch.Generator, camera: Camera) -> Tensor:
    """Blur some images with a Gaussian each, along rows and columns."""
    count, device = len(images), images.device
    share, width = torch.rand(2, count, generator=generator, device=device)
    chosen = torch.nonzero(share < camera.blur_share).flatten()
    if not len(chosen):
        return images
    reach = math.ceil(3 * camera.blur)
    steps = torch.arange(-reach, reach + 1, device=device)
    sigma = (0.3 + width[chosen] * (camera.blur - 0.3))[:, None]
    kernel = torch.softmax(-(steps[None] ** 2) / (2 * sigma**2), dim=1)
    some = images[chosen]
    number, channels, height, columns = some.shape
    # One group a channel of an image: each image has a kernel of its own.
    taps = kernel.repeat_interleave(channels, 0)[:, None]
    flat = some.reshape(1, number * channels, height, columns)
    groups = number * channels
    flat = functional.pad(flat, (reach, reach, reach, reach), mode="reflect")
    flat = functional.conv2d(flat, taps[:, :, None, :], groups=groups)
    flat = functional.conv2d(flat, taps[:, :, :, None], groups=groups)
    images = images.clone()
    images[chosen] = flat.view_as(some)
    return images


def compress(images: Tensor, generator: torch.Generator, camera: Camera) -> Tensor:
    """Send some images through JPEG; on the host, where torchvision does that."""
    from torchvision.transforms.v2 import functional as vision

    count, device = len(images), images.device
    share, quality = torch.rand(2, count, generator=generator, device=device).cpu()
    chosen = torch.nonzero(share < camera.jpeg_share).flatten().tolist()
    if not chosen:
        return images
    low, high = camera.jpeg
    images = images.clone()
    for at in chosen:
        pixels = (images[at] * 255).round().to(torch.uint8).cpu().contiguous()
        spoilt = vision.jpeg(pixels, low + round(float(quality[at]) * (high - low)))
        images[at] = spoilt.to(device).to(images.dtype) / 255
    return images

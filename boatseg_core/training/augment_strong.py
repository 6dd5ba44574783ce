"""The stronger half of the augmentation: other scales, directions and cameras. Needs torch.

What :mod:`boatseg_core.training.augment` leaves out because it interpolates or costs time: turning
by any angle and scaling, blur, and JPEG. A mask is sampled to the nearest pixel and stays 0 and 1;
what a turn uncovers is reflected, in image and mask alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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

    On a GPU, where to ask which images were chosen would be to wait for it, all are turned and
    blurred and ``torch.where`` chooses. JPEG goes through the host and does wait.

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

    def changed(images: Tensor, masks: Tensor, matrix: Tensor) -> tuple[Tensor, ...]:
        grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)

        def sample(batch: Tensor, mode: str) -> Tensor:
            return functional.grid_sample(
                batch.float(), grid, mode=mode, padding_mode="reflection", align_corners=False
            ).to(batch.dtype)

        return sample(images, "bilinear"), sample(masks, "nearest")

    images, masks = _some(share < camera.turn_share, changed, (images, masks), matrix)
    return images, masks


def blur(images: Tensor, generator: torch.Generator, camera: Camera) -> Tensor:
    """Blur some images with a Gaussian each, along rows and columns."""
    count, device = len(images), images.device
    share, width = torch.rand(2, count, generator=generator, device=device)
    reach = math.ceil(3 * camera.blur)
    steps = torch.arange(-reach, reach + 1, device=device)

    def changed(some: Tensor, width: Tensor) -> tuple[Tensor]:
        sigma = (0.3 + width * (camera.blur - 0.3))[:, None]
        kernel = torch.softmax(-(steps[None] ** 2) / (2 * sigma**2), dim=1)
        number, channels, height, columns = some.shape
        # One group a channel of an image: each image has a kernel of its own.
        taps = kernel.repeat_interleave(channels, 0)[:, None]
        flat = some.reshape(1, number * channels, height, columns)
        groups = number * channels
        flat = functional.pad(flat, (reach, reach, reach, reach), mode="reflect")
        flat = functional.conv2d(flat, taps[:, :, None, :], groups=groups)
        flat = functional.conv2d(flat, taps[:, :, :, None], groups=groups)
        return (flat.view_as(some),)

    (images,) = _some(share < camera.blur_share, changed, (images,), width)
    return images


def _some(
    chosen: Tensor,
    change: Callable[..., tuple[Tensor, ...]],
    batch: tuple[Tensor, ...],
    *how: Tensor,
) -> tuple[Tensor, ...]:
    """Change the chosen images of a batch.

    Args:
        chosen: bool ``[N]``.
        change: Gets so many images of each tensor of ``batch`` and of ``how``, gives the former.
        batch: ``[N, ...]`` each; left alone.
        how: What decides the change of each image, ``[N, ...]`` each.
    """
    if _all_at_once(chosen.device):
        where = chosen[:, None, None, None]
        after = change(*batch, *how)
        return tuple(torch.where(where, n, o) for n, o in zip(after, batch, strict=True))
    places = torch.nonzero(chosen).flatten()
    if not len(places):
        return batch
    found = []
    after = change(*(part[places] for part in batch), *(part[places] for part in how))
    for before, some in zip(batch, after, strict=True):
        changed = before.clone()
        changed[places] = some
        found.append(changed)
    return tuple(found)


def _all_at_once(device: torch.device) -> bool:
    """Whether asking which images were chosen costs more than changing all of them."""
    return device.type != "cpu"


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

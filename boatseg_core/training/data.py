"""From gold to tensors. Imported lazily: it needs torch.

Crops for training, whole images at native resolution for validation and test: a network is judged
on what it will be given, not on the crops it was fed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytorch_lightning as pl  # noqa: TID253
import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.utils.data import DataLoader, IterableDataset  # noqa: TID253

from boatseg_core.training.rank import place
from boatseg_core.training.ranks import device_kind

if TYPE_CHECKING:
    from boatseg_core.config.sections import Train
    from boatseg_core.dataset import GoldDataset, Sample
    from boatseg_core.dataset.loader.tensors import TorchLoader

# Every encoder halves its input five times.
MULTIPLE = 32
# Whole images in one forward pass on a GPU are bounded by their pixels, so that huge ones fit too.
_PIXELS = 8 * 768 * 768
# Batches decoded ahead of a step, where there is something to decode them beside it.
_AHEAD = 2


@dataclass(frozen=True)
class CropBatch:
    """A training batch.

    Attributes:
        images: uint8 ``[B, 3, S, S]``.
        masks: uint8 ``[B, 1, S, S]``, 0 or 1.
        image_ids: Image each crop was cut from.
    """

    images: Tensor
    masks: Tensor
    image_ids: list[str]

    def pin_memory(self) -> CropBatch:
        """Copy to page-locked memory; the data loader asks for it on a CUDA machine."""
        return CropBatch(self.images.pin_memory(), self.masks.pin_memory(), self.image_ids)

    def to(self, device: torch.device) -> CropBatch:
        """Move to a device without waiting for the copy."""
        return CropBatch(
            self.images.to(device, non_blocking=True),
            self.masks.to(device, non_blocking=True),
            self.image_ids,
        )


@dataclass(frozen=True)
class WholeBatch:
    """Whole images, padded at the right and lower edge to one multiple of 32.

    Attributes:
        images: uint8 ``[B, 3, H, W]``.
        masks: uint8 ``[B, 1, H, W]``; 0 in the padding.
        sizes: Height and width of each image without padding.
        image_ids: Names.
    """

    images: Tensor
    masks: Tensor
    sizes: list[tuple[int, int]]
    image_ids: list[str]

    def pin_memory(self) -> WholeBatch:
        """Copy to page-locked memory; the data loader asks for it on a CUDA machine."""
        return WholeBatch(
            self.images.pin_memory(), self.masks.pin_memory(), self.sizes, self.image_ids
        )

    def to(self, device: torch.device) -> WholeBatch:
        """Move to a device without waiting for the copy."""
        return WholeBatch(
            self.images.to(device, non_blocking=True),
            self.masks.to(device, non_blocking=True),
            self.sizes,
            self.image_ids,
        )


def whole_batches(samples: Iterator[Sample], *, batch_size: int) -> Iterator[WholeBatch]:
    """Collect neighbouring images of one padded size into batches.

    Args:
        samples: Images and masks of any size.
        batch_size: Most images in a batch; fewer where they are large.
    """
    waiting: list[Sample] = []
    shape = (0, 0)
    for sample in samples:
        height, width = sample.mask.shape
        padded = _up(height), _up(width)
        room = min(batch_size, max(1, _PIXELS // (padded[0] * padded[1])))
        if waiting and (padded != shape or len(waiting) >= room):
            yield _stack(waiting, shape)
            waiting = []
        shape = padded
        waiting.append(sample)
    if waiting:
        yield _stack(waiting, shape)


class CropStream(IterableDataset[CropBatch]):
    """The crops of one training, dealt out in epochs.

    The stream is endless and runs on from epoch to epoch: an epoch is only the stretch between
    two validations.

    Args:
        gold: The data set.
        train: Crop size, batch size, share of crops with objects, seed and threads.
        epochs: Batches in each epoch.
        skip: Batches that an interrupted training has had; they are not decoded again.
    """

    def __init__(
        self, gold: GoldDataset, train: Train, epochs: list[int], *, skip: int = 0
    ) -> None:
        super().__init__()
        self._source = _crops(gold, train).forever(skip)
        self._epochs = iter(epochs)

    def __iter__(self) -> Iterator[CropBatch]:
        for _ in range(next(self._epochs, 0)):
            batch = next(self._source)
            yield CropBatch(batch["image"], batch["mask"], batch["image_id"])


def _crops(gold: GoldDataset, train: Train) -> TorchLoader:
    boats = gold.index("train")["boat_count"] > 0
    near, natural = train.positive_share, int(boats.sum()) / max(1, len(boats))
    # Besides the crops near an object, those cut anywhere are of any image, boats or not.
    share = near + (1 - near) * natural
    # No image is left over at an epoch's end, and usual batch sizes see the same images in the same
    # order: two batches of four are a batch of eight.
    # Nor is a batch left over that not every rank would have.
    whole = math.lcm(train.batch_size * train.devices, 32)
    return gold.torch(
        "train",
        crop=train.crop,
        batch_size=train.batch_size,
        boat_share=share,
        centred=near / share if share else 0.0,
        images=-(-len(boats) // whole) * whole,
        seed=train.seed,
        threads=train.threads,
        pin_memory=False,  # the trainer's data loader does
        ahead=0 if _computes_on_every_core(train) else _AHEAD,
    )


def _computes_on_every_core(train: Train) -> bool:
    """Whether a step keeps all cores of this machine busy, so that decoding beside it is no gain.

    The threads of a network wait for each other after each layer: what one core spends on
    something else, all of them lose. Between two steps each core decodes its part of the next
    batch instead, which was 20 ms less of a step of 285 ms on two cores.
    """
    if device_kind(train) != "cpu":
        return False
    return torch.get_num_threads() * train.devices >= (os.cpu_count() or 1)


class WholeImages(IterableDataset[WholeBatch]):
    """Whole images of one split, in the same order each time; every rank has its share.

    Args:
        gold: The data set.
        split: Split to read.
        limit: Most images; 0 for all.
        threads: Decoding threads; 0 for one per core.
    """

    def __init__(self, gold: GoldDataset, split: str, *, limit: int, threads: int) -> None:
        super().__init__()
        self._gold, self._split, self._limit, self._threads = gold, split, limit, threads

    def __iter__(self) -> Iterator[WholeBatch]:
        samples = self._gold.samples(
            self._split, limit=self._limit, threads=self._threads, part=place()
        )
        # One by one on a CPU: activations above 32 MB are mapped and cleared by the kernel for
        # every layer anew, which doubled the time of an image here.
        return whole_batches(samples, batch_size=8 if torch.cuda.is_available() else 1)


class GoldModule(pl.LightningDataModule):
    """Crops of ``train``, whole images of ``valid``.

    Args:
        gold: The data set.
        train: The settings of the training.
        epochs: Batches in each epoch.
        skip: Batches that an interrupted training has had.
    """

    def __init__(
        self, gold: GoldDataset, train: Train, epochs: list[int], *, skip: int = 0
    ) -> None:
        super().__init__()
        self._crops = CropStream(gold, train, epochs, skip=skip)
        self._valid = WholeImages(gold, "valid", limit=train.valid_images, threads=train.threads)

    def train_dataloader(self) -> DataLoader[CropBatch]:
        """Batches of crops; decoding runs in threads below, so no worker process is needed."""
        return _loader(self._crops)

    def val_dataloader(self) -> DataLoader[WholeBatch]:
        """Batches of whole images."""
        return _loader(self._valid)

    def transfer_batch_to_device(
        self, batch: CropBatch | WholeBatch, device: torch.device, dataloader_idx: int
    ) -> CropBatch | WholeBatch:
        """Move a batch to the device."""
        return batch.to(device)


def _loader(source: IterableDataset[CropBatch] | IterableDataset[WholeBatch]) -> DataLoader:  # type: ignore[type-arg]
    # With a generator of its own: else each pass would take a number from torch's, and a resumed
    # training, which passes once less, would get other weights from it.
    return DataLoader(
        source,
        batch_size=None,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(0),
    )


def _up(size: int) -> int:
    return -(-size // MULTIPLE) * MULTIPLE


def _stack(samples: list[Sample], shape: tuple[int, int]) -> WholeBatch:
    images = np.empty((len(samples), 3, *shape), dtype=np.uint8)
    masks = np.zeros((len(samples), 1, *shape), dtype=np.uint8)
    for index, sample in enumerate(samples):
        height, width = sample.mask.shape
        edges = (0, shape[0] - height), (0, shape[1] - width), (0, 0)
        images[index] = np.pad(sample.image, edges, mode="symmetric").transpose(2, 0, 1)
        masks[index, 0, :height, :width] = sample.mask
    return WholeBatch(
        torch.from_numpy(images),
        torch.from_numpy(masks),
        [sample.mask.shape for sample in samples],
        [sample.image_id for sample in samples],
    )

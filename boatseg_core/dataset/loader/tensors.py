"""The loader with tensors instead of arrays. Imported lazily: it needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import torch  # noqa: TID253
from torch.utils.data import IterableDataset  # noqa: TID253

from boatseg_core.dataset.loader.core import Loader
from boatseg_core.dataset.loader.index import Parts
from boatseg_core.dataset.loader.options import Options
from boatseg_core.dataset.loader.pipeline import Allocate, Array
from boatseg_core.lake import Lake


class TorchLoader(Loader, IterableDataset[dict[str, Any]]):
    """Iterates over batches of tensors, one epoch a time; see :class:`.core.Loader`.

    A batch is a dictionary: ``image`` ``[B, 3, H, W]``, ``mask`` ``[B, 1, H, W]`` with 1 on boats,
    ``image_id`` a list of names; other columns are tensors where they are numbers, else lists.

    It decodes in threads and is used as it is. It may also be the data set of
    ``DataLoader(loader, batch_size=None, num_workers=2)``, whose workers share its batches out.

    Args:
        lake: The lake.
        version: Delta version of gold.
        options: What to load.
        parts: The files of the version, where this process has opened them already.
        channels_last: Memory layout of the images. It is the one pixels are decoded in, and costs
            nothing; the other one is written as such by the decoding threads.
        pin_memory: Decode into page-locked memory; by default where there is CUDA.
    """

    def __init__(
        self,
        lake: Lake,
        version: int,
        options: Options,
        parts: Parts | None = None,
        *,
        channels_last: bool = True,
        pin_memory: bool | None = None,
    ) -> None:
        super().__init__(lake, version, options, parts)
        self._channels_last = channels_last
        self._pin_memory = pin_memory

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return super().__iter__()

    def _allocate(self) -> Allocate:
        pin = self._pin_memory
        if pin is None:
            # Forked workers must not touch CUDA; a DataLoader pins what they send.
            worker = torch.utils.data.get_worker_info() is not None
            pin = not worker and torch.cuda.is_available()

        def allocate(shape: tuple[int, ...], dtype: str) -> tuple[torch.Tensor, Array]:
            kind = getattr(torch, dtype)
            if len(shape) == 3:
                masks = torch.empty(shape, dtype=kind, pin_memory=pin)
                return masks.unsqueeze(1), masks.numpy()
            count, height, width, channels = shape
            if self._channels_last:
                images = torch.empty(shape, dtype=kind, pin_memory=pin)
                return images.permute(0, 3, 1, 2), images.numpy()
            images = torch.empty((count, channels, height, width), dtype=kind, pin_memory=pin)
            return images, images.permute(0, 2, 3, 1).numpy()

        return allocate

    def _finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {name: _tensor(value) for name, value in batch.items()}


def _tensor(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value
    numbers = pa.types.is_integer(value.type) or pa.types.is_floating(value.type)
    if (numbers or pa.types.is_boolean(value.type)) and not value.null_count:
        return torch.from_numpy(value.to_numpy().copy())
    return value.to_pylist()

"""Read gold as arrays: whole images for evaluation, shuffled batches for training."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from boatseg_core.dataset.loader import Loader, Options
from boatseg_core.dataset.loader.index import Parts, open_parts, reading
from boatseg_core.dataset.stream import GoldRow, GoldStream
from boatseg_core.errors import ImageError
from boatseg_core.imaging.decode import decode
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.lake import Lake

if TYPE_CHECKING:
    from boatseg_core.dataset.loader.tensors import TorchLoader

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# What is in gold passed decode.max_pixels when it was ingested; a bound set since, or a default,
# must not make a pinned version unreadable.
_NO_BOUND: Final = sys.maxsize

_INDEX = (
    "image_id",
    "batch_id",
    "width",
    "height",
    "boat_count",
    "boat_area",
    "boat_boxes",
    "brightness",
    "contrast",
    "group_id",
    "split",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One whole image.

    Attributes:
        image_id: Name.
        image: uint8 ``[H, W, 3]`` RGB.
        mask: bool ``[H, W]``, true on objects.
        boat_count: Number of objects.
        boat_areas: Pixels of each object.
        group_id: Images of one group show the same place.
    """

    image_id: str
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    boat_count: int
    boat_areas: list[int]
    group_id: str


class GoldDataset:
    """One pinned version of ``gold_dataset``.

    Args:
        lake: The lake.
        version: Delta version to read; by default the newest, pinned now.

    Raises:
        LakeError: There is no gold table, or not in that version.
    """

    def __init__(self, lake: Lake, version: int | None = None) -> None:
        self.lake = lake
        # Kept for the first loader: to read the log again is half of what opening one costs.
        self._parts: Parts | None = open_parts(lake, version)
        self.version = self._parts.version

    def index(self, split: str | None = None) -> pl.DataFrame:
        """Read what is known of the images, without a picture.

        Args:
            split: ``train``, ``valid``, ``test`` or ``excluded``; by default all.

        Returns:
            One row an image, sorted by batch and name.

        Raises:
            LakeError: The version cannot be read any more.
        """
        with reading(self.version):
            frame = self.lake.read("gold_dataset", _INDEX, version=self.version)
        if split is not None:
            frame = frame.filter(pl.col("split") == split)
        return frame.sort("batch_id", "image_id")

    def samples(
        self,
        split: str,
        *,
        limit: int = 0,
        threads: int = 0,
        seed: int = 0,
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[Sample]:
        """Iterate over whole images at native resolution, in a fixed order.

        Args:
            split: Split to read.
            limit: Most images; a seeded choice that keeps the share of images with objects.
                0 for all.
            threads: Decoding threads; 0 for one per core.
            seed: Seeds the choice.
            part: Which part of how many is wanted, counted from 0; the parts share no image and are
                about as large.

        Raises:
            ImageError: An image of gold no longer decodes; the message names it.
        """
        number, parts = part
        chosen = set(self._choose(split, limit, seed)[number::parts])
        stream = GoldStream(self.lake, self.version, split)
        rows = (row for row in stream.in_order() if row.image_id in chosen)
        yield from _in_threads(rows, _sample, threads)

    def loader(self, split: str = "train", **options: Any) -> Loader:
        """Iterate over batches of arrays, for any framework.

        Args:
            split: Split to read.
            **options: ``size=384`` or ``crop=192``, ``batch_size=16``, ``boat_share=0.5``,
                ``seed=0``, ...: see :class:`boatseg_core.dataset.loader.Options`.

        Returns:
            An iterable of dictionaries; see :class:`boatseg_core.dataset.loader.Loader`.

        Raises:
            InputError: The split is empty, or an option is not to be had.
        """
        return Loader(self.lake, self.version, Options(split=split, **options), self._opened())

    def torch(
        self,
        split: str = "train",
        *,
        channels_last: bool = True,
        pin_memory: bool | None = None,
        **options: Any,
    ) -> TorchLoader:
        """Iterate over batches of tensors.

            for batch in lake.gold().torch(split="train", size=384, batch_size=16):
                batch["image"], batch["mask"]  # uint8 [16, 3, 384, 384] and [16, 1, 384, 384]

        Args:
            split: Split to read.
            channels_last: Memory layout of the images.
            pin_memory: Decode into page-locked memory; by default where there is CUDA.
            **options: As for :meth:`loader`.

        Returns:
            An iterable of dictionaries; see
            :class:`boatseg_core.dataset.loader.tensors.TorchLoader`.

        Raises:
            InputError: The split is empty, or an option is not to be had.
        """
        from boatseg_core.dataset.loader.tensors import TorchLoader

        return TorchLoader(
            self.lake,
            self.version,
            Options(split=split, **options),
            self._opened(),
            channels_last=channels_last,
            pin_memory=pin_memory,
        )

    def _opened(self) -> Parts | None:
        """Hand over the opened files, once: each loader keeps footers of its own.

        Not where a fork brought them: the client of a store has threads, which stay behind.
        """
        parts, self._parts = self._parts, None
        return parts if parts is not None and parts.process == os.getpid() else None

    def _choose(self, split: str, limit: int, seed: int) -> list[str]:
        index = self.index(split)
        if not limit or index.height <= limit:
            return index["image_id"].to_list()
        boats = index.filter(pl.col("boat_count") > 0)
        empty = index.filter(pl.col("boat_count") == 0)
        wanted = round(limit * boats.height / index.height)
        # At least one of each kind that exists: a metric over none says nothing.
        wanted = min(max(wanted, 1 if boats.height else 0), boats.height)
        rest = min(limit - wanted, empty.height)
        return [
            *boats.sample(wanted, seed=seed)["image_id"].to_list(),
            *empty.sample(rest, seed=seed)["image_id"].to_list(),
        ]


def _sample(row: GoldRow) -> Sample:
    try:
        image = decode(row.image, max_pixels=_NO_BOUND)
        mask = decode_mask(row.mask, max_pixels=_NO_BOUND)
    except ImageError as error:
        raise ImageError(
            error.reason,
            f"gold image {row.image_id}: {error}; "
            "`boatseg lake doctor --deep` says what is damaged",
        ) from error
    return Sample(row.image_id, image, mask, row.boat_count, row.boat_areas, row.group_id)


def _in_threads(items: Iterator[_In], work: Callable[[_In], _Out], threads: int) -> Iterator[_Out]:
    """Map in threads, in order, with a bounded number of results in flight."""
    count = threads or os.cpu_count() or 1
    pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
    waiting: deque[Future[_Out]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Also when the consumer stops early, as every endless stream's does.
        pool.shutdown(wait=False, cancel_futures=True)

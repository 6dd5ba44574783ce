"""Decodes in threads: batches in order, a bounded number of them at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from boatseg_core.dataset.loader import crops
from boatseg_core.dataset.loader.decoded import Decoded
from boatseg_core.dataset.loader.feed import Task
from boatseg_core.dataset.loader.groups import Encoded, Groups
from boatseg_core.dataset.loader.index import Index
from boatseg_core.dataset.loader.options import Options
from boatseg_core.errors import ImageError
from boatseg_core.imaging.decode import decode
from boatseg_core.imaging.mask_png import decode_mask
from boatseg_core.imaging.scaled import NO_BOUND, image_at, mask_at, region

U8 = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

Allocate = Callable[[tuple[int, ...], str], tuple[Any, Array]]
"""Makes memory for pictures of a batch, given shape and dtype: what to hand out, and an array of
its memory, ``[B, H, W, 3]`` or ``[B, H, W]`` (a view in another order of axes will do)."""

_CHUNK = 16  # images decoded by a thread before it asks for more, at most


def numpy_arrays(shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
    """Memory of NumPy's."""
    array = np.empty(shape, dtype=dtype)
    return array, array


@dataclass
class Batch:
    """A batch while it is filled."""

    tasks: list[Task]
    images: Array | None = None
    masks: Array | None = None
    out: dict[str, Any] = field(default_factory=dict)
    parts: list[Future[None]] = field(default_factory=list)


class Decoder:
    """Fills places of a batch.

    Args:
        options: What is wanted.
        index: The split.
        groups: Where a row is read again whose decoded record turned out damaged.
        decoded: Decoded images kept, if any.
    """

    def __init__(
        self, options: Options, index: Index, groups: Groups, decoded: Decoded | None
    ) -> None:
        self._options = options
        self._index = index
        self._groups = groups
        self._decoded = decoded
        self._sizes = _sizes(index) if options.crop is not None else np.zeros((0, 2), np.int64)

    def fill(self, batch: Batch, start: int, stop: int) -> None:
        """Decode some images of a batch into it.

        Raises:
            ImageError: An image no longer decodes; the message names it.
        """
        for place in range(start, stop):
            task = batch.tasks[place]
            image = None if batch.images is None else batch.images[place]
            mask = None if batch.masks is None else batch.masks[place]
            try:
                self._one(task, image, mask)
            except ImageError as error:
                name = self._index.image_id(task.row)
                raise ImageError(
                    error.reason,
                    f"gold image {name} of version {self._index.version}: {error}; "
                    "`boatseg lake doctor --deep` says what is damaged",
                ) from error

    def _one(self, task: Task, image: Array | None, mask: Array | None) -> None:
        if self._options.crop is not None:
            self._crop(task, image, mask)
        elif self._decoded is None:
            pixels, inside = self._scaled(self._data(task), image is not None, mask is not None)
            _put(pixels, image)
            _put(inside, mask)
        else:
            self._kept(self._decoded, task, image, mask)

    def _scaled(
        self, data: Encoded, image: bool, mask: bool
    ) -> tuple[U8 | None, npt.NDArray[np.bool_] | None]:
        sides = self._options.height, self._options.width
        return (
            image_at(data.image or b"", *sides) if image else None,
            mask_at(data.mask or b"", *sides) if mask else None,
        )

    def _kept(self, decoded: Decoded, task: Task, image: Array | None, mask: Array | None) -> None:
        # Where the batch has another layout or type than the store, through memory in between.
        near_image, near_mask = _direct(image), _direct(mask)
        if not decoded.read(task.row, near_image, near_mask):
            pixels, inside = self._scaled(self._data(task), image is not None, mask is not None)
            _put(pixels, near_image, whole=True)
            _put(inside, near_mask, whole=True)
            decoded.write(task.row, near_image, near_mask)
        if near_image is not image:
            _put(near_image, image)
        if near_mask is not mask:
            _put(near_mask, mask)

    def _crop(self, task: Task, image: Array | None, mask: Array | None) -> None:
        data, side = self._data(task), self._options.height
        inside = None
        if mask is not None:
            inside = decode_mask(data.mask or b"", max_pixels=NO_BOUND)
        whole, size = None, self._sizes[task.row]
        if not size.all():  # gold that was not made by ingestion may not tell
            whole = decode(data.image or b"", max_pixels=NO_BOUND)
            size = np.array(whole.shape[:2])
        height, width = size.tolist()
        if inside is not None and inside.shape != (height, width):
            raise ImageError(
                "corrupt",
                f"its mask has {inside.shape} rows and columns, the image {(height, width)}",
            )
        boxes = self._index.columns["boat_boxes"][task.row].as_py() if task.near else ()
        places = crops.offsets(height, width, side, boxes or (), task.seed)
        left, top, *extent = crops.around(places, height, width, side)
        # Where the place is known before the image is looked at, the rest is not decoded.
        if whole is None:
            pixels = region(data.image or b"", left, top, *extent)
        else:
            pixels = whole[top : top + extent[1], left : left + extent[0]]
        if pixels.shape != (extent[1], extent[0], 3):
            raise ImageError(
                "corrupt", f"gold says it has {width}x{height} pixels, and it ends before them"
            )
        x, y = crops.choose(pixels, (left, top), places, side)
        pixels = pixels[y - top : y - top + side, x - left : x - left + side]
        _put(crops.reflected(pixels, side), image)
        if inside is not None:
            _put(crops.reflected(inside[y : y + side, x : x + side], side), mask)

    def _data(self, task: Task) -> Encoded:
        if task.data is not None:
            return self._groups.pictures(task.data)
        return self._groups.read(int(self._index.group[task.row]), task.row)


def decoding(
    batches: Iterator[list[Task]],
    decoder: Decoder,
    options: Options,
    index: Index,
    *,
    threads: int,
    allocate: Allocate,
) -> Iterator[dict[str, Any]]:
    """Decode batches, some of them ahead of their being asked for.

    Args:
        batches: Tasks of each batch; closed with this iterator.
        decoder: Fills a batch.
        options: Size, type and columns of a batch.
        index: The narrow columns.
        threads: Decoding threads.
        allocate: Makes memory of a batch.

    Yields:
        The columns of a batch by name.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode-gold")
    waiting: deque[Batch] = deque()
    ahead = 0  # the first batch is not to wait for what is read for the second
    try:
        for tasks in batches:
            batch = _begin(tasks, options, index, allocate)
            # Where nothing else is left to do, small parts keep the threads busy to the end.
            parts = threads * (1 if options.ahead else 4)
            chunk = min(_CHUNK, -(-len(tasks) // parts))
            for start in range(0, len(tasks), chunk):
                stop = min(start + chunk, len(tasks))
                batch.parts.append(pool.submit(decoder.fill, batch, start, stop))
            waiting.append(batch)
            while len(waiting) > ahead:
                yield _end(waiting.popleft())
                if not ahead:
                    ahead = options.ahead
                    break
        while waiting:
            yield _end(waiting.popleft())
    finally:
        # Also when the iterator is dropped half-way: what no thread has begun is not begun.
        pool.shutdown(wait=False, cancel_futures=True)
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def _begin(tasks: list[Task], options: Options, index: Index, allocate: Allocate) -> Batch:
    batch = Batch(tasks)
    shape = len(tasks), options.height, options.width
    rows = [task.row for task in tasks]
    for name in options.columns:
        if name == "image":
            batch.out[name], batch.images = allocate((*shape, 3), options.dtype)
        elif name == "mask":
            batch.out[name], batch.masks = allocate(shape, options.dtype)
        else:
            batch.out[name] = index.columns[name].take(rows)
    return batch


def _end(batch: Batch) -> dict[str, Any]:
    for part in batch.parts:
        part.result()
    return batch.out


def _sizes(index: Index) -> npt.NDArray[np.int64]:
    """Height and width of each image as gold has them, ``[N, 2]``; 0 where it does not."""
    columns = [index.columns[name].fill_null(0).to_numpy() for name in ("height", "width")]
    return np.stack(columns, axis=1).astype(np.int64)


def _direct(place: Array | None) -> U8 | None:
    if place is None or (place.dtype == np.uint8 and place.flags.c_contiguous):
        return place
    return np.empty(place.shape, dtype=np.uint8)


def _put(pixels: Array | None, place: Array | None, *, whole: bool = False) -> None:
    if pixels is None or place is None:
        return
    if pixels.dtype == np.bool_ and place.dtype == np.uint8:
        place[...] = pixels.view(np.uint8)  # a copy, where a cast would look at every pixel
    elif place.dtype == np.uint8 or whole or pixels.dtype == np.bool_ or pixels.ndim == 2:
        place[...] = pixels
    else:
        np.multiply(pixels, np.float32(1 / 255), out=place, dtype=np.float32)

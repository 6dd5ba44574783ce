"""The loader: batches of one split of one version of gold, in an order that can be had again."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from boatseg_core.dataset.loader import order as orders
from boatseg_core.dataset.loader.decoded import Decoded
from boatseg_core.dataset.loader.feed import Task, feed
from boatseg_core.dataset.loader.groups import Groups
from boatseg_core.dataset.loader.index import BLOBS, Parts, open_parts, read_index
from boatseg_core.dataset.loader.options import PICTURES, Options
from boatseg_core.dataset.loader.pipeline import Allocate, Decoder, decoding, numpy_arrays
from boatseg_core.dataset.loader.place import Place, find
from boatseg_core.errors import InputError
from boatseg_core.lake import Lake

# What decides which batches come and what they show: a state is only good for a loader that agrees
# in them. Threads, columns, types, ranks and workers may change.
_SAME: Final = (
    *("split", "batch_size", "boat_share", "images", "shuffled", "drops_last", "seed"),
    *("buffer_bytes", "height", "width", "crop", "centred"),
)


@dataclass
class _Position:
    """The first batch of an epoch, over all ranks, that was not handed out yet."""

    epoch: int
    batch: int = 0


class Loader:
    """Iterates over batches of NumPy arrays, one epoch a time.

    A batch is a dictionary: ``image`` uint8 ``[B, H, W, 3]``, ``mask`` uint8 ``[B, H, W]`` with 1
    on boats, ``image_id`` and other columns as Arrow arrays. The order of an epoch follows from the
    seed, the number of the epoch and the version of gold. Ranks and the workers of a ``DataLoader``
    take strided parts of its batches, so that taken together they see the same order, however many
    they are. When its last batch is handed out the loader is at the next epoch.

    Args:
        lake: The lake.
        version: Delta version of gold.
        options: What to load.
        parts: The files of the version, where this process has opened them already.

    Raises:
        InputError: The split is empty, has no image of a kind that is asked for, or has too few
            images for a batch.
        LakeError: The version cannot be read.
    """

    def __init__(
        self, lake: Lake, version: int, options: Options, parts: Parts | None = None
    ) -> None:
        self.version = version
        self.options = options
        places: tuple[str, ...] = ()
        if options.crop is not None:
            places = ("height", "width", *(["boat_boxes"] if options.centred > 0 else []))
        narrow = [c for c in options.columns if c not in PICTURES]
        blobs = tuple(name for name in BLOBS if name in options.columns)
        if options.crop is not None and "image" not in blobs:
            raise InputError("a crop is chosen by looking at the image: leave image in columns")
        parts = parts or open_parts(lake, version)
        self._index = read_index(parts, version, options.split, [*narrow, *places], blobs)
        self._check_kinds()
        folder = options.cache_folder
        self._groups = Groups(lake, parts, self._index, blobs, folder, options.cache_bytes)
        self._decoded: Decoded | None = None
        if options.decoded:
            sides = options.height, options.width
            shapes = {"image": (*sides, 3), "mask": sides}
            self._decoded = Decoded(
                folder / "decoded",
                {"lake": lake.root, "files": self._index.files, "split": options.split},
                len(self._index),
                tuple(shapes[name] for name in blobs),
                options.cache_bytes,
            )
        self._position = _Position(0)
        self._resume: _Position | None = None
        if not self.global_batches(find(options).world_size):
            raise InputError(
                f"an epoch of {self.images} {options.split} images does not give every rank a "
                f"batch of {options.batch_size}: lower batch_size, or say drop_last=False"
            )

    @property
    def images(self) -> int:
        """Images in an epoch, over all ranks."""
        return self.options.images or len(self._index)

    @property
    def epoch(self) -> int:
        """Number of the epoch that the next batch is of."""
        return self._position.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that is iterated over next; without it they follow one another."""
        self._resume = None
        self._position = _Position(epoch)

    def global_batches(self, world_size: int) -> int:
        """Batches of an epoch, over all ranks."""
        if not self.options.drops_last:
            return -(-self.images // self.options.batch_size)
        whole = self.images // self.options.batch_size
        return whole - whole % world_size

    def __len__(self) -> int:
        """Batches of an epoch on this rank, over all workers."""
        place = find(self.options)
        return len(range(place.rank, self.global_batches(place.world_size), place.world_size))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        place = find(self.options)
        position = self._position = self._resume or _Position(self._position.epoch)
        self._resume = None
        return self._epoch(position, place)

    def forever(self, skip: int = 0) -> Iterator[dict[str, Any]]:
        """Iterate over epoch after epoch, decoding ahead from one into the next.

        Args:
            skip: Batches of this rank to leave out, without reading them.

        Yields:
            Batches; the state of the loader is not moved.
        """
        place = find(self.options)
        each = len(self._ours(place, 0))
        first, skipped = divmod(skip, each)

        def batches() -> Iterator[list[Task]]:
            for epoch in itertools.count(first):
                start = skipped * place.stride if epoch == first else 0
                yield from self._tasks(epoch, self._ours(place, start))

        return self._decode(batches(), place)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Stored place of each image of an epoch, over all ranks; int64 ``[images]``."""
        return self._order(epoch).rows

    def state_dict(self) -> dict[str, Any]:
        """Where we are: what :meth:`load_state_dict` goes on from.

        Batches handed out count, not those decoded ahead.
        """
        at = self._resume or self._position
        return {**self._facts(), "epoch": at.epoch, "batch": at.batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, with any number of ranks and workers; nothing is decoded for it.

        Raises:
            InputError: The state is of other data or of another order.
        """
        for name, mine in self._facts().items():
            if state.get(name) != mine:
                raise InputError(
                    f"the loader cannot go on from this state: its {name} is "
                    f"{state.get(name)!r}, the loader's is {mine!r}"
                )
        self._resume = _Position(int(state["epoch"]), int(state["batch"]))

    # What a subclass makes of it

    def _allocate(self) -> Allocate:
        return numpy_arrays

    def _finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch

    # How

    def _facts(self) -> dict[str, Any]:
        """What has to be the same for a state to mean the same batches."""
        data = hashlib.sha256("\n".join(self._index.files).encode()).hexdigest()[:16]
        about = {"order_version": orders.ORDER_VERSION, "version": self.version, "data": data}
        return about | {name: getattr(self.options, name) for name in _SAME}

    def _epoch(self, position: _Position, place: Place) -> Iterator[dict[str, Any]]:
        ours = self._ours(place, position.batch)
        batches = self._decode(self._tasks(position.epoch, ours), place)
        left = len(ours)
        if not left:
            position.epoch, position.batch = position.epoch + 1, 0
        for batch in batches:
            left -= 1
            if left:
                position.batch += place.stride
            else:  # not when nothing comes any more: nobody may ask for that
                position.epoch, position.batch = position.epoch + 1, 0
            yield batch

    def _decode(self, batches: Iterator[list[Task]], place: Place) -> Iterator[dict[str, Any]]:
        decoder = Decoder(self.options, self._index, self._groups, self._decoded)
        decoded = decoding(
            batches,
            decoder,
            self.options,
            self._index,
            threads=self.options.threads or place.threads,
            allocate=self._allocate(),
        )
        try:
            for batch in decoded:
                yield self._finish(batch)
        finally:
            decoded.close()  # type: ignore[attr-defined]  # it is a generator

    def _tasks(self, epoch: int, ours: Sequence[range]) -> Iterator[list[Task]]:
        cached = None if self._decoded is None else self._decoded.there(len(self._index))
        return feed(self._groups, self._index, self._order(epoch), ours, cached)

    def _order(self, epoch: int) -> orders.Order:
        options = self.options
        if not options.shuffled:
            return orders.stored(self._index, options.seed)
        return orders.shuffled(
            self._index,
            seed=options.seed,
            epoch=epoch,
            images=self.images,
            boat_share=options.boat_share,
            centred=options.centred,
            buffer_bytes=options.buffer_bytes,
        )

    def _ours(self, place: Place, start: int) -> list[range]:
        """Places of the epoch in each batch that is ours, from a batch of the epoch on."""
        size = self.options.batch_size
        total = self.global_batches(place.world_size)
        if self.options.drops_last:  # each rank as many, also from the middle of an epoch on
            total -= (total - start) % place.world_size
        return [
            range(number * size, min((number + 1) * size, self.images))
            for number in range(place.first, total, place.stride)
            if number >= start
        ]

    def _check_kinds(self) -> None:
        share, boats = self.options.boat_share, self._index.boats
        if share and not boats.any():
            raise InputError(
                f"no {self.options.split} image of gold has a labelled boat: label some, or leave "
                "boat_share out"
            )
        if share is not None and share < 1 and boats.all():
            raise InputError(
                f"every {self.options.split} image of gold has a boat, there are no empty ones to "
                "mix in: leave boat_share out, or set it to 1"
            )

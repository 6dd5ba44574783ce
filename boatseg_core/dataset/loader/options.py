"""What a loader can be asked for, checked before anything is read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from boatseg_core.errors import InputError

SPLITS: Final = ("train", "valid", "test", "excluded")
PICTURES: Final = ("image", "mask", "image_id")
"""What a batch holds unless other columns are asked for."""

MIB: Final = 2**20
_LARGEST: Final = 16_384  # px; a batch of larger pictures is a slip of the finger


@dataclass(frozen=True, slots=True)
class Options:
    """What to load, and how.

    Attributes:
        split: ``train``, ``valid``, ``test`` or ``excluded``.
        size: Whole images scaled to this side, or (height, width), in pixels.
        crop: Instead of ``size``: side of a square crop at native resolution, in pixels.
        batch_size: Images in a batch.
        boat_share: Share of a shuffled epoch's images that have boats, 0 to 1; by default what the
            split has.
        centred: Share of the crops of boat images that are cut around a boat, 0 to 1; the others
            are cut anywhere.
        images: Images in an epoch; 0 for as many as the split has. Only of use when shuffled.
        columns: Columns of gold in a batch.
        shuffle: A new order each epoch; else the order of the table. By default for ``train``.
        drop_last: Leave out what does not fill a batch on every rank; by default when shuffled.
        seed: Seeds order, sampling and crops.
        threads: Decoding threads; 0 for one per core (shared with sibling workers and ranks).
        ahead: Batches decoded ahead; 0 to decode each when it is asked for, for consumers that
            keep all cores busy themselves. Row groups are read ahead in any case.
        buffer_bytes: Encoded images held to be mixed, in bytes.
        dtype: ``uint8`` or ``float32`` (divided by 255).
        rank: Which of the ranks this is; by default what torch.distributed or the environment say.
        world_size: Number of ranks.
        cache: Folder of the caches; by default ``BOATSEG_CACHE``, else below the user's cache
            folder. Row groups are only ever cached of a lake that is not on this machine.
        cache_bytes: Bound of each cache, in bytes; 0 for no cache of row groups.
        decoded: Also cache scaled images decoded, for later epochs.
    """

    split: str = "train"
    size: int | tuple[int, int] | None = None
    crop: int | None = None
    batch_size: int = 16
    boat_share: float | None = None
    centred: float = 1.0
    images: int = 0
    columns: tuple[str, ...] = PICTURES
    shuffle: bool | None = None
    drop_last: bool | None = None
    seed: int = 0
    threads: int = 0
    ahead: int = 2
    buffer_bytes: int = 128 * MIB
    dtype: Literal["uint8", "float32"] = "uint8"
    rank: int | None = None
    world_size: int | None = None
    cache: str | Path | None = None
    cache_bytes: int = 20 * 1024 * MIB
    decoded: bool = False
    height: int = field(init=False)
    width: int = field(init=False)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(f"no split is called {self.split!r}: there are {', '.join(SPLITS)}")
        if (self.size is None) == (self.crop is None):
            raise InputError(
                "say either size=384 (whole images, scaled) or crop=192 (native resolution)"
            )
        height, width = _sides(self.crop if self.size is None else self.size)
        for name, value in (("height", height), ("width", width)):
            object.__setattr__(self, name, value)
        for name, least in (
            ("batch_size", 1),
            ("images", 0),
            ("seed", 0),
            ("threads", 0),
            ("ahead", 0),
            ("buffer_bytes", 1),
            ("cache_bytes", 0),
        ):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, it has to be {least} or more")
        for name in ("boat_share", "centred"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise InputError(f"{name} is {share}, it has to be a share from 0 to 1")
        if self.dtype not in ("uint8", "float32"):
            raise InputError(f"dtype is {self.dtype!r}, it has to be uint8 or float32")
        if self.decoded and self.crop is not None:
            raise InputError(
                "the decoded cache holds scaled images, crops are cut at native resolution: "
                "say size instead of crop, or leave out decoded"
            )
        if not self.shuffled and (self.boat_share is not None or self.images):
            raise InputError("boat_share and images choose from a shuffled epoch: say shuffle=True")
        if (self.rank is None) != (self.world_size is None):
            raise InputError("rank and world_size go together")
        if self.rank is not None and self.world_size is not None:
            check_rank(self.rank, self.world_size)
        object.__setattr__(self, "columns", tuple(dict.fromkeys(self.columns)))
        if "image" not in self.columns and "mask" not in self.columns:
            raise InputError(
                "columns names neither image nor mask: GoldDataset.index() has the rest"
            )

    @property
    def shuffled(self) -> bool:
        """Whether each epoch has an order of its own."""
        return self.split == "train" if self.shuffle is None else self.shuffle

    @property
    def drops_last(self) -> bool:
        """Whether every batch is full and every rank has as many."""
        return self.shuffled if self.drop_last is None else self.drop_last

    @property
    def cache_folder(self) -> Path:
        """Folder of the caches."""
        if self.cache is not None:
            return Path(self.cache).expanduser()
        if os.environ.get("BOATSEG_CACHE"):
            return Path(os.environ["BOATSEG_CACHE"]).expanduser()
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(base).expanduser() / "boatseg"


def check_rank(rank: int, world_size: int) -> None:
    """Refuse a rank that is none.

    Raises:
        InputError: It is not one of 0 to ``world_size`` - 1.
    """
    if not 0 <= rank < world_size:
        raise InputError(f"rank {rank} is none of the {world_size} ranks, which start at 0")


def _sides(asked: int | tuple[int, int] | None) -> tuple[int, int]:
    sides = asked if isinstance(asked, tuple | list) else (asked, asked)
    whole = len(sides) == 2 and all(isinstance(s, int) and not isinstance(s, bool) for s in sides)
    if not whole or not all(1 <= side <= _LARGEST for side in sides if side is not None):
        raise InputError(
            f"{asked!r} is no size: say a side such as 384, or (height, width), "
            f"of 1 to {_LARGEST} px"
        )
    height, width = sides
    assert height is not None
    assert width is not None
    return height, width

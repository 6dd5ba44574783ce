"""What every loader does in the race: the decode calls, the measuring, the proof of work.

Runs in the peers' environments; torch and torchvision are the project's own, so that none of them
has another build of either.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 -- this process has no other purpose
from PIL import Image
from torchvision.transforms import InterpolationMode  # noqa: TID253
from torchvision.transforms import functional as F  # noqa: TID253

sys.path.append(str(Path(__file__).resolve().parents[2]))
from boatseg_core.imaging.scaled import image_at, mask_at


@dataclass(frozen=True)
class Job:
    """What to load.

    Attributes:
        files: Folder of ``00000.jpg`` and ``00000.png``, one pair an image.
        gold: Folder of the Delta table with the same images.
        work: Folder for what the loader wants them turned into.
        do: What to do, one after the other: ``prepare`` (turn them into that), ``theirs`` (load,
            decoding as the loader's documentation does), ``ours`` (load, with boatseg's calls).
        size: Side wanted, in pixels.
        batch: Images in a batch.
        workers: Threads or processes.
    """

    files: Path
    gold: Path
    work: Path
    do: list[str]
    size: int
    batch: int
    workers: int

    @property
    def ours(self) -> bool:
        """Whether to decode with boatseg's calls."""
        return self.do == ["ours"]

    def pairs(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, JPEG and PNG of every image."""
        for path in sorted(self.files.glob("*.jpg")):
            yield int(path.stem), path.read_bytes(), path.with_suffix(".png").read_bytes()

    def image(self, data: bytes) -> torch.Tensor:
        """Decode an image, uint8 ``[3, size, size]``."""
        if self.ours:
            return torch.tensor(image_at(data, self.size, self.size)).permute(2, 0, 1)
        return self.image_of(Image.open(io.BytesIO(data)))

    def mask(self, data: bytes) -> torch.Tensor:
        """Decode a mask, uint8 ``[1, size, size]``."""
        if self.ours:
            return torch.tensor(mask_at(data, self.size, self.size)).to(torch.uint8)[None]
        return self.mask_of(Image.open(io.BytesIO(data)))

    def image_of(self, image: Image.Image) -> torch.Tensor:
        """The usual transforms on an image that somebody else opened."""
        return F.pil_to_tensor(F.resize(image.convert("RGB"), [self.size, self.size]))

    def mask_of(self, mask: Image.Image) -> torch.Tensor:
        """The usual transforms on a mask that somebody else opened."""
        nearest = InterpolationMode.NEAREST
        grey = F.resize(mask.convert("L"), [self.size, self.size], interpolation=nearest)
        return (F.pil_to_tensor(grey) > 127).to(torch.uint8)


Batch = tuple[torch.Tensor, torch.Tensor, Any]
"""Images ``[B, 3, S, S]``, masks ``[B, 1, S, S]`` and the numbers of the images."""


def job() -> Job:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    for name in ("files", "gold", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--do", nargs="+", choices=("prepare", "theirs", "ours"), default=["ours"])
    for name in ("size", "batch", "workers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = vars(parser.parse_args())
    options["work"].mkdir(parents=True, exist_ok=True)
    return Job(**options)


def run(job: Job, prepare: Callable[[Job], None], load: Callable[[Job], Iterable[Batch]]) -> None:
    """Prepare, or time an epoch; print the results by what was done as one JSON line.

    Args:
        job: What to do.
        prepare: Turns the files into what the loader reads; does not count.
        load: Opens the loader: from here to the end of the epoch counts.
    """
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for what in job.do:
        if what == "prepare":
            prepare(job)
            results[what] = {}
        else:
            results[what] = timed(partial(load, replace(job, do=[what])))
    print(json.dumps(results), flush=True)


def timed(load: Callable[[], Iterable[Batch]]) -> dict[str, Any]:
    """Time an epoch, from opening it to its last batch.

    Returns:
        ``seconds``, ``first`` (to the first batch), ``images``, ``order``, and the sums of a
        sample of the pixels of images and masks.
    """
    start = time.perf_counter()
    first, order, pixels, boats = 0.0, [], 0, 0
    for images, masks, numbers in load():
        first = first or time.perf_counter() - start
        order += np.asarray(numbers).tolist()
        # A sample of the pixels: to look at many of them would give those who work ahead the time,
        # and is no part of loading.
        pixels += int(images[:, :, ::48, 7::48].sum())
        boats += int(masks[:, :, ::24, 5::24].sum())
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "first": first,
        "images": len(order),
        "pixels": pixels,
        "boats": boats,
        "order": order,
    }

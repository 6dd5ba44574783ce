"""LitData: optimized chunks, StreamingDataset and StreamingDataLoader."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import litdata
from loading import Batch, Job, job, run
from PIL import Image


def theirs(path: str) -> dict[str, Any]:
    # As in its documentation: a picture is stored as the JPEG file that it is.
    return {
        "number": int(Path(path).stem),
        "image": Image.open(path),
        "mask": Path(path).with_suffix(".png").read_bytes(),
    }


def ours(path: str) -> dict[str, Any]:
    return theirs(path) | {"image": Path(path).read_bytes()}


def prepare(job: Job) -> None:
    for name, function in (("theirs", theirs), ("ours", ours)):
        litdata.optimize(
            fn=function,
            inputs=[str(path) for path in sorted(job.files.glob("*.jpg"))],
            output_dir=str(job.work / name),
            chunk_bytes="64MB",
            num_workers=1,
        )


class Dataset(litdata.StreamingDataset):
    """Decodes what the shards hold, as its documentation shows: in ``__getitem__``."""

    def __init__(self, job: Job, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.job = job

    def __getitem__(self, index: Any) -> tuple[Any, Any, int]:
        sample = super().__getitem__(index)
        image, mask = sample["image"], sample["mask"]
        if self.job.ours:
            return self.job.image(image), self.job.mask(mask), sample["number"]
        return self._theirs(image), self.job.mask(mask), sample["number"]

    def _theirs(self, image: Any) -> Any:
        from torchvision.transforms import functional as F

        if isinstance(image, Image.Image):
            return self.job.image_of(image)
        side = [self.job.size, self.job.size]
        return F.resize(image, side, antialias=True)


def load(job: Job) -> Iterable[Batch]:
    folder = str(job.work / ("ours" if job.ours else "theirs"))
    data = Dataset(job, folder, shuffle=True)
    return litdata.StreamingDataLoader(data, batch_size=job.batch, num_workers=job.workers)


if __name__ == "__main__":
    run(job(), prepare, load)

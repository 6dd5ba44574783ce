"""MosaicML Streaming: MDS shards, StreamingDataset in a torch DataLoader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loading import Batch, Job, job, run
from streaming import MDSWriter, StreamingDataset
from streaming.base.util import clean_stale_shared_memory
from torch.utils.data import DataLoader  # noqa: TID253


def prepare(job: Job) -> None:
    from io import BytesIO

    from PIL import Image

    kinds = {"theirs": ("jpeg", "png"), "ours": ("bytes", "bytes")}
    for name, (image_kind, mask_kind) in kinds.items():
        columns = {"number": "int", "image": image_kind, "mask": mask_kind}
        with MDSWriter(out=str(job.work / name), columns=columns) as out:
            for number, image, mask in job.pairs():
                pictures = [Image.open(BytesIO(data)) for data in (image, mask)]
                values = pictures if name == "theirs" else [image, mask]
                out.write({"number": number, "image": values[0], "mask": values[1]})


class Dataset(StreamingDataset):
    """Decodes what the shards hold, as its documentation shows: in ``__getitem__``."""

    def __init__(self, job: Job, **options: Any) -> None:
        super().__init__(**options)
        self.job = job

    def __getitem__(self, index: Any) -> tuple[Any, Any, int]:
        sample = super().__getitem__(index)
        image, mask = sample["image"], sample["mask"]
        if self.job.ours:
            return self.job.image(image), self.job.mask(mask), sample["number"]
        return self.job.image_of(image), self.job.mask_of(mask), sample["number"]


def load(job: Job) -> Iterable[Batch]:
    folder = str(job.work / ("ours" if job.ours else "theirs"))
    data = Dataset(job, local=folder, shuffle=True, batch_size=job.batch)
    return DataLoader(data, batch_size=job.batch, num_workers=job.workers)


if __name__ == "__main__":
    clean_stale_shared_memory()
    run(job(), prepare, load)

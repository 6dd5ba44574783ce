"""Train with more crops in a step than there is memory for; a program of its own."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

ROOM = 700_000_000  # bytes beside what the process has mapped when the training starts


def main(home: str, work: str) -> None:
    import torch
    from torch import nn

    from boatseg_core.config import load_settings
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.errors import TrainingError
    from boatseg_core.lake import Lake
    from boatseg_core.training import network as networks
    from boatseg_core.training.fit import fit, resolve
    from boatseg_core.training.model import Segmenter

    torch.set_num_threads(1)
    networks.build_network = lambda train: nn.Sequential(  # type: ignore[assignment]
        nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )
    step = Segmenter.training_step

    def training_step(self: Segmenter, batch: object, index: int) -> object:
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (mapped + ROOM, hard))
        return step(self, batch, index)  # type: ignore[arg-type]

    Segmenter.training_step = training_step  # type: ignore[assignment,method-assign]
    settings = load_settings(home=home)
    gold = GoldDataset(Lake.from_settings(settings))
    chosen = resolve(
        settings,
        {"batch_size": 4096, "crop": 64, "max_steps": 1, "validations": 1, "threads": 1,
         "device": "cpu"},
    )  # fmt: skip
    try:
        fit(gold, settings, chosen, work=Path(work), on_epoch=None, progress=False)
    except TrainingError as error:
        print(error)


if __name__ == "__main__":
    main(*sys.argv[1:])

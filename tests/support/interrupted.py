"""A training in a process of its own, which kills itself at a step if it is told to.

Called with the home, the work folder and the batch to be killed at (0 for none); prints the number
of steps it took and the figures of its last validation.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def main(home: str, work: str, kill: int) -> None:
    from torch import nn

    from boatseg_core.config import load_settings
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.lake import Lake
    from boatseg_core.training import network
    from boatseg_core.training.fit import fit, resolve
    from boatseg_core.training.model import Segmenter

    settings = load_settings(home=home)
    network.build_network = lambda train: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.3),
        nn.Conv2d(4, 1, 1),
    )  # fmt: skip
    original, taken = Segmenter.training_step, [0]

    def step(self: Segmenter, *args: object) -> object:
        taken[0] += 1
        if taken[0] == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args)

    Segmenter.training_step = step
    chosen = resolve(
        settings,
        {"max_steps": 7, "validations": 3, "checkpoint_steps": 2, "crop": 32, "batch_size": 2,
         "learning_rate": 0.05, "valid_images": 0, "threads": 1,
         "decoder_channels": (32, 16, 16, 8, 8)},
    )  # fmt: skip
    fitted = fit(
        GoldDataset(Lake.from_settings(settings)), settings, chosen,
        work=Path(work), on_epoch=None, progress=False, resume=True,
    )  # fmt: skip
    last = fitted.history[-1]
    print(taken[0], *(last[n] for n in ("train_loss", "valid_loss", "valid_boat_iou")))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""What is said when memory runs out: with allocators that refuse, and with a real limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch  # noqa: TID253
from torch import nn  # noqa: TID253

from boatseg_core.training.fit import resolve
from boatseg_core.training.memory import advice, largest_batch, ran_out

CPU = torch.device("cpu")
REFUSED = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


class Greedy(nn.Module):
    """A network that has memory for so many crops."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.room, self.error, self.asked = room, error, []

    def __deepcopy__(self, memo: object) -> Greedy:
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(images))
        if len(images) > self.room:
            raise self.error
        return self.conv(images)


def mean(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    assert logits.shape == masks.shape
    return logits.mean()


@pytest.mark.parametrize(
    ("room", "error"),
    [
        (0, torch.OutOfMemoryError("CUDA out of memory")),
        (1, RuntimeError(REFUSED)),
        (5, MemoryError()),
        (11, RuntimeError(REFUSED)),
        (12, MemoryError()),
    ],
)
def test_the_largest_batch_that_fits_is_found_by_trying(settings, room, error):
    assert ran_out(error)
    network = Greedy(room, error)
    train = resolve(settings, {"batch_size": 12, "crop": 32})
    assert largest_batch(network, mean, train, CPU, bf16=False) == min(room, 12)
    assert len(network.asked) <= 5 and network.asked[0] == 12
    assert network.conv.weight.grad is None


def test_other_errors_are_not_taken_for_want_of_memory(settings):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert not ran_out(error)
    with pytest.raises(RuntimeError, match="shapes"):
        largest_batch(Greedy(0, error), mean, resolve(settings), CPU, bf16=False)


@pytest.mark.parametrize(
    ("fits", "says"),
    [
        (0, "not even one fits: lower train.crop"),
        (1, "1 fits: set train.batch_size to 1, and train.accumulate to 24"),
        (5, "5 fit: set train.batch_size to 5, and train.accumulate to 5"),
        (12, "fits now that it is tried again"),
    ],
)
def test_the_advice_keeps_the_crops_of_a_step(settings, fits, says):
    train = resolve(settings, {"batch_size": 12, "accumulate": 2, "crop": 96})
    assert "12 crops of 96 px" in advice(train, fits) and says in advice(train, fits)


def test_a_real_want_of_memory_is_put_into_a_sentence(gold, settings, tmp_path):
    """The allocator of the CPU refuses under a limit of the operating system."""
    script = Path(__file__).parents[2] / "support" / "starved.py"
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, str(script), str(settings.home), str(tmp_path / "work")],
        capture_output=True,
        text=True,
        cwd=root,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()[-1]
    assert said.startswith("memory ran out in a training step of 4096 crops of 64 px; tried just")
    fits = int(said.split("set train.batch_size to ")[1].split(",")[0])
    assert 1 <= fits < 4096

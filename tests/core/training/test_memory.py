"""What is said when memory runs out: with allocators that refuse, and with a real limit."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch  # noqa: TID253
from torch import nn  # noqa: TID253

from boatseg_core.errors import TrainingError
from boatseg_core.training import fit, memory
from boatseg_core.training.fit import resolve
from boatseg_core.training.memory import advice, largest_batch, ran_out
from boatseg_core.training.network import _check_sizes

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


def test_what_a_step_that_failed_held_is_free_before_the_next(settings):
    """A backward that fails leaves the loss in its caller, and with it every activation."""
    alive = []

    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits):
            return logits.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError(REFUSED)

    def loss(logits, masks):
        assert not [one for one in alive if one() is not None]
        alive.append(weakref.ref(logits))
        return Failing.apply(logits).mean()

    train = resolve(settings, {"batch_size": 4, "crop": 32})
    assert largest_batch(nn.Conv2d(3, 1, 1), loss, train, CPU, bf16=False) == 0
    assert len(alive) == 3


@pytest.mark.parametrize(
    ("room", "error"),
    [
        (0, torch.OutOfMemoryError("CUDA out of memory")),
        (1, RuntimeError(REFUSED)),
        (5, MemoryError()),
        (11, RuntimeError(REFUSED)),
        (12, MemoryError()),
        (2, RuntimeError("could not create a primitive")),
        (3, RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")),
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


def failing(error: Exception, device: str = "cpu") -> SimpleNamespace:
    """A trainer whose training fails on a device."""

    def train(*_: object, **__: object) -> None:
        raise error

    return SimpleNamespace(fit=train, strategy=SimpleNamespace(root_device=torch.device(device)))


def test_it_is_tried_where_it_was_trained(settings, monkeypatch):
    """Lightning has moved the module off its device when the error arrives."""
    network = nn.Conv2d(3, 1, 1)
    segmenter = SimpleNamespace(network=network, loss=mean, looks=False, device=CPU)
    asked = []

    def largest(*args: object, bf16: bool) -> int:
        asked.append((*args, bf16))
        return 3

    monkeypatch.setattr(memory, "largest_batch", largest)
    train = resolve(settings, {"batch_size": 12, "precision": "32"})
    with pytest.raises(TrainingError, match=r"set train\.batch_size to 3"):
        fit._run(failing(MemoryError(), "meta"), segmenter, None, train)
    assert asked == [(network, mean, train, torch.device("meta"), False)]


def test_the_network_is_moved_to_be_tried(settings, monkeypatch):
    def tried(model: nn.Module, loss: object, crop: int, device: torch.device, *_: object) -> None:
        assert {p.device for p in model.parameters()} == {device}

    monkeypatch.setattr(memory, "_step", tried)
    train, network = resolve(settings, {"batch_size": 2, "crop": 32}), nn.Conv2d(3, 1, 1)
    assert largest_batch(network, mean, train, torch.device("meta"), bf16=False) == 2
    assert network.weight.device == CPU


def test_a_network_that_cannot_be_compiled_says_so(settings):
    from torch._inductor.exc import InvalidCxxCompiler

    segmenter = SimpleNamespace(looks=False)
    train = resolve(settings, {"compile": True})
    with pytest.raises(TrainingError, match=r"cannot be compiled here .*set train\.compile to f"):
        fit._run(failing(InvalidCxxCompiler()), segmenter, None, train)


def test_crops_beyond_all_memory_are_not_taken_for_an_encoder_that_does_not_fit(settings):
    train = resolve(settings, {"batch_size": 2, "crop": 32})
    with pytest.raises(TrainingError, match=r"memory ran out .* of 32 px: lower train\.crop"):
        _check_sizes(Greedy(0, RuntimeError(REFUSED)), train)

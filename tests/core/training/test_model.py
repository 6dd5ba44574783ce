from __future__ import annotations

import pytest
import torch  # noqa: TID253
from torch import nn  # noqa: TID253
from torch._subclasses.fake_tensor import (  # noqa: TID253
    DataDependentOutputException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: TID253

from boatseg_core.config.sections import Train
from boatseg_core.training import augment_strong
from boatseg_core.training import model as model_module
from boatseg_core.training.data import CropBatch, WholeBatch
from boatseg_core.training.model import ENCODER_RATE, Segmenter, Tally, prepare
from boatseg_core.training.network import build_network
from boatseg_core.training.normalised import Normalised


class Threshold(torch.nn.Module):
    """Logit of a pixel: its brightness in 0..255, less 100."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images):
        return images.mean(1, keepdim=True) * 255 * self.weight - 100


def test_encoder_and_decoder_have_their_own_rates_and_only_kernels_decay():
    train = Train(weight_decay=0.1, learning_rate=1e-3)
    network = Normalised(build_network(train), [0.5] * 3, [0.5] * 3)
    segmenter = Segmenter(network, train, 10, 0.5)
    configured = segmenter.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    encoder = {id(p) for p in network.network.encoder.parameters()}
    seen = set()
    for group, peak in zip(
        optimizer.param_groups, (g["max_lr"] for g in optimizer.param_groups), strict=True
    ):
        for parameter in group["params"]:
            seen.add(id(parameter))
            share = ENCODER_RATE if id(parameter) in encoder else 1
            assert peak == pytest.approx(1e-3 * share)
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0)
    assert seen == {id(p) for p in network.parameters()}
    rates = []
    for _ in range(9):
        optimizer.step()
        schedule.step()
        rates.append(max(schedule.get_last_lr()))
    assert max(rates) == pytest.approx(1e-3, rel=0.05) and rates[-1] < 1e-6


def test_validation_leaves_padding_out():
    segmenter = Segmenter(Threshold(), Train(), 10, 0.5)
    images = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)  # bright padding too
    masks = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    masks[..., :20, :10] = 1
    segmenter.validation_step(WholeBatch(images, masks, [(20, 10)], ["a"]), 0)
    metrics = segmenter.valid_tally.read()
    assert metrics["boat_iou"] == 1 and metrics["images"] == 1
    assert metrics["loss"] == pytest.approx(0, abs=1e-4)


def test_the_threshold_is_a_probability():
    image = torch.full((1, 3, 32, 32), 101, dtype=torch.uint8)  # logit 1, probability 0.73
    masks = torch.ones(1, 1, 32, 32, dtype=torch.uint8)
    for threshold, expected in ((0.7, 1.0), (0.75, 0.0)):
        segmenter = Segmenter(Threshold(), Train(), 10, threshold)
        segmenter.validation_step(WholeBatch(image, masks, [(32, 32)], ["a"]), 0)
        assert segmenter.valid_tally.read()["boat_iou"] == expected


def test_training_counts_what_it_predicted():
    segmenter = Segmenter(Threshold(), Train(), 10, 0.5)
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    images[0] = 255
    masks = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    masks[0] = 1
    loss = segmenter.training_step(CropBatch(images, masks, ["a", "b"]), 0)
    assert loss.requires_grad
    metrics = segmenter.train_tally.read()
    assert metrics["boat_iou"] == 1 and metrics["boat_images"] == 1
    assert metrics["loss"] == pytest.approx(loss.item())
    segmenter.reset_train()
    assert segmenter.train_tally.read()["images"] == 0


def test_a_tally_averages_over_batches_and_images():
    tally = Tally()
    tally.add(torch.tensor([[1, 1, 0], [0, 0, 0]]), torch.tensor(1.0))
    tally.add(torch.tensor([[1, 0, 0]]), torch.tensor(2.0))
    metrics = tally.read()
    assert metrics["loss"] == 1.5
    assert metrics["per_image_iou"] == pytest.approx((0.5 + 1 + 1) / 3)


def test_prepare_scales_bytes_and_leaves_floats():
    found = prepare(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    assert found.dtype == torch.float32 and found.flatten().tolist() == [0, 1]
    image = torch.rand(1, 3, 2, 2)
    assert prepare(image) is image


def test_settings_choose_augmentation_and_compiling(monkeypatch):
    from torch import nn

    from boatseg_core.training import model as module

    called = []
    monkeypatch.setattr(torch, "compile", lambda forward: called.append("compile") or forward)
    strengthen = module.strengthen
    monkeypatch.setattr(
        module, "strengthen", lambda *args: called.append("strong") or strengthen(*args)
    )
    batch = CropBatch(
        torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, 1, 32, 32), ["a", "b"]
    )
    for options, expected in (
        ({}, []),
        ({"compile": True, "augment": "strong"}, ["compile", "strong"]),
    ):
        called.clear()
        segmenter = Segmenter(nn.Conv2d(3, 1, 1), Train(**options), 4, 0.5)
        assert torch.isfinite(segmenter.training_step(batch, 0))
        assert called == expected
        assert list(segmenter.state_dict()) == ["network.weight", "network.bias"]


class Waits(TorchDispatchMode):
    """Notes every operation that makes the host wait for a GPU, or copies to or from it."""

    ASKING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        def there(value):
            return isinstance(value, torch.Tensor) and value.device.type == "cuda"

        name = operation.name().partition("::")[2].partition(".")[0]
        if name in self.ASKING and there(args[0]):
            self.seen.append(name)
        out = operation(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_") and any(map(there, args)) != there(out):
            self.seen.append(name)
        return out


@pytest.mark.parametrize("loss", ["bce_dice", "focal_dice", "tversky", "lovasz"])
@pytest.mark.parametrize("strength", ["light", "strong"])
def test_a_step_on_a_gpu_waits_for_nothing(monkeypatch, loss, strength):
    """On tensors that only pretend to be on a GPU: none is needed to see what would be asked."""
    host = torch.Generator

    def generator(device):
        return host()  # of a device that is not there, there is none

    class Shade(nn.Module):
        def forward(self, images):
            return 8 * images.mean(1, keepdim=True) - 4

    monkeypatch.setattr(model_module.torch, "Generator", generator)
    # The one part that is known to wait, and said to.
    monkeypatch.setattr(augment_strong, "compress", lambda images, *_: images)
    with FakeTensorMode():
        segmenter = Segmenter(Shade(), Train(loss=loss, augment=strength), 10, 0.5)
        images = torch.empty(4, 3, 64, 64, dtype=torch.uint8, device="cuda")
        batch = CropBatch(images, images[:, :1], list("abcd"))
        with Waits() as waits:
            found = segmenter.training_step(batch, 0)
        assert found.device.type == "cuda" and waits.seen == []
        with pytest.raises(DataDependentOutputException), Waits() as waits:
            found.item()
    assert waits.seen == ["_local_scalar_dense"]  # the look is sharp

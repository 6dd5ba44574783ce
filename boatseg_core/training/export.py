"""Turn a trained network into a model folder. Importing it is cheap; torch comes with a call."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from boatseg_core.errors import TrainingError
from boatseg_core.inference.spec import MODEL_FILE, ModelSpec
from boatseg_core.training.commit import git_commit
from boatseg_core.training.network import first_line
from boatseg_core.training.onnx_operators import any_size

if TYPE_CHECKING:
    import torch
    from torch import nn

    from boatseg_core.config import Settings
    from boatseg_core.config.sections import Train

# Understood by every onnxruntime since 1.14; the first that can antialias.
_OPSET = 18
# Shapes that are neither the traced one nor like each other: batch, height and width must be free.
# Height and width are counted in what the network wants them to be multiples of.
_TRACED = (2, 3, 2, 3)
_PARITY = ((1, 3, 4, 2), (3, 3, 3, 5))
# Logits; the same sums in another order. 1e-3 of a logit moves a probability by at most 0.00025.
_TOLERANCE = 1e-3


def export(
    network: nn.Module,
    folder: Path,
    settings: Settings,
    train: Train,
    metrics: Mapping[str, float],
    params: Mapping[str, Any],
    gold_version: int,
) -> Path:
    """Write ``model.onnx`` and ``boatseg.json``, and check that the graph computes the same.

    Args:
        network: RGB in 0..1 to logits; put into evaluation mode on the CPU for the export.
        folder: Model folder; replaced where it exists.
        settings: Class name, threshold and smallest area of the predictor.
        train: Architecture and encoder.
        metrics: Test metrics.
        params: What the training was run with.
        gold_version: Delta version it was trained on.

    Returns:
        The folder.

    Raises:
        TrainingError: The network cannot be exported, or onnxruntime computes something else.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    to_onnx(network, folder / MODEL_FILE)
    check_parity(network, folder / MODEL_FILE)
    ModelSpec(
        class_name=settings.labels.class_name,
        multiple=_multiple(network),
        threshold=settings.predict.threshold,
        min_area=settings.predict.min_area,
        architecture=train.architecture,
        encoder=train.encoder,
        gold_version=gold_version,
        git_commit=git_commit(),
        metrics=dict(metrics),
        params=dict(params),
    ).save(folder)
    return folder


def to_onnx(network: nn.Module, path: Path) -> None:
    """Export with free batch, height and width (of the network's multiple), weights inside.

    By torch's tracing exporter: with free height and width the newer one works for more than ten
    minutes on a Unet whose encoder pads like TensorFlow, where tracing takes three seconds.

    Raises:
        TrainingError: Torch refuses.
    """
    import torch

    network = network.cpu().eval()
    axes = {0: "N", 2: "H", 3: "W"}
    with torch.inference_mode(), any_size(network, _OPSET), warnings.catch_warnings():
        # It is deprecated, and what it asks of sizes while tracing holds for all such multiples.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network,
                (_pictures(network, _TRACED),),
                path,
                dynamo=False,
                opset_version=_OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": axes, "logits": axes},
            )
        except Exception as error:
            raise TrainingError(
                f"the network cannot be exported to ONNX ({type(error).__name__}: "
                f"{first_line(error)}): "
                "choose another train.architecture or train.encoder"
            ) from error


def rehearse(network: nn.Module, pair: str) -> None:
    """Export a network before it is trained, so that none is trained that could not be served.

    Args:
        network: Left as it was.
        pair: What it is called in a message.

    Raises:
        TrainingError: It cannot be exported, or not for pictures of any size.
    """
    mode = network.training
    try:
        with TemporaryDirectory(prefix="boatseg-rehearsal-") as folder:
            path = Path(folder) / MODEL_FILE
            to_onnx(network, path)
            # Without running statistics logits can be huge, and so can differences of rounding.
            check_parity(network, path, tolerance=math.inf)
    except TrainingError as error:
        raise TrainingError(
            f"what is trained with {pair} could not be served ({first_line(error)}): choose "
            "another train.architecture or train.encoder"
        ) from error
    finally:
        network.train(mode)


def check_parity(network: nn.Module, path: Path, *, tolerance: float | None = None) -> float:
    """Compare onnxruntime with torch on shapes that were not traced.

    Args:
        network: The network.
        path: What was exported of it.
        tolerance: Largest difference allowed; None for that of a trained network.

    Returns:
        Largest difference of a logit, relative to the larger of 1 and the logit's size.

    Raises:
        TrainingError: It is too large, or the graph cannot be run.
    """
    import onnxruntime
    import torch

    tolerance = _TOLERANCE if tolerance is None else tolerance
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors arrive as exceptions
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for shape in _PARITY:
            images = _pictures(network, shape)
            with torch.inference_mode():
                expected = network.cpu().eval()(images).numpy()
            (found,) = session.run(["logits"], {"image": images.numpy()})
            if found.shape != expected.shape:
                raise TrainingError(
                    f"the exported model gives {found.shape} where torch gives {expected.shape}"
                )
            gap = np.abs(found - expected) / np.maximum(1, np.abs(expected))
            # A NaN on either side must not pass for agreement.
            largest = max(largest, float(np.where(np.isnan(gap), np.inf, gap).max()))
    except TrainingError:
        raise
    except Exception as error:  # onnxruntime's errors share no public base
        raise TrainingError(
            f"onnxruntime cannot run the exported model: {first_line(error)}"
        ) from error
    if largest > tolerance:
        raise TrainingError(
            f"the exported model's logits differ from torch's by {largest:.2g} (more than "
            f"{tolerance:g}): this architecture and encoder cannot be exported faithfully"
        )
    return largest


def _multiple(network: nn.Module) -> int:
    """What height and width have to be multiples of; see :class:`.normalised.Normalised`."""
    found = getattr(network, "multiple", 32)
    return int(found)


def _pictures(network: nn.Module, shape: tuple[int, int, int, int]) -> torch.Tensor:
    """Noise ``[N, C, H, W]``; ``shape`` counts height and width in the network's multiple."""
    import torch

    count, channels, height, width = shape
    multiple = _multiple(network)
    return torch.rand(
        (count, channels, height * multiple, width * multiple),
        generator=torch.Generator().manual_seed(0),
    )

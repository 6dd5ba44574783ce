"""Turn a trained network into a model folder. Importing it is cheap; torch comes with a call."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boatseg_core.errors import TrainingError
from boatseg_core.inference.spec import MODEL_FILE, ModelSpec
from boatseg_core.training.commit import git_commit

if TYPE_CHECKING:
    from torch import nn

    from boatseg_core.config import Settings
    from boatseg_core.config.sections import Train

# Understood by every onnxruntime since 1.12; all operators used are older.
_OPSET = 17
# Shapes that are neither the traced one nor like each other: batch, height and width must be free.
_TRACED = (2, 3, 64, 96)
_PARITY = ((1, 3, 128, 64), (3, 3, 96, 160))
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
    """Export with free batch, height and width (multiples of 32), weights inside.

    By torch's tracing exporter: with free height and width the newer one works for more than ten
    minutes on a Unet whose encoder pads like TensorFlow, where tracing takes three seconds.

    Raises:
        TrainingError: Torch refuses.
    """
    import torch

    network = network.cpu().eval()
    axes = {0: "N", 2: "H", 3: "W"}
    with torch.inference_mode(), warnings.catch_warnings():
        # It is deprecated, and what it asks of sizes while tracing holds for multiples of 32.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network,
                (torch.rand(_TRACED),),
                path,
                dynamo=False,
                opset_version=_OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": axes, "logits": axes},
            )
        except Exception as error:
            raise TrainingError(
                f"the network cannot be exported to ONNX ({type(error).__name__}: {error}): "
                "choose another train.architecture or train.encoder"
            ) from error


def check_parity(network: nn.Module, path: Path) -> float:
    """Compare onnxruntime with torch on shapes that were not traced.

    Returns:
        Largest difference of a logit, relative to the larger of 1 and the logit's size.

    Raises:
        TrainingError: It is too large, or the graph cannot be run.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for shape in _PARITY:
            images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
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
        raise TrainingError(f"onnxruntime cannot run the exported model: {error}") from error
    if largest > _TOLERANCE:
        raise TrainingError(
            f"the exported model's logits differ from torch's by {largest:.2g} (more than "
            f"{_TOLERANCE:g}): this architecture and encoder cannot be exported faithfully"
        )
    return largest

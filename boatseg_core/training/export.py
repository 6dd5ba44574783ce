"""Turn a trained network into a model folder. Importing it is cheap; torch comes with a call."""

from __future__ import annotations

import copy
import math
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from boatseg_core.errors import TrainingError
from boatseg_core.inference.spec import MODEL_FILE, ModelSpec
from boatseg_core.training.checkpoint import not_written
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
# Of the largest logit of an untrained network, whose single ones may be differences of huge sums.
# Rounding stayed below 2e-5 of it, a size that tracing took for a constant moves the whole scale.
_REHEARSED = 1e-2
# How often torch's own rounding the graph's may be, where rounding is more than the tolerance.
_ROUNDING = 4


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
        except OSError as error:
            raise TrainingError(not_written(path, error)) from error
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
            # One shape will do to find a size that is not free: large networks take seconds each.
            for expected, found, _ in _both(network, path, _PARITY[:1]):
                gap, scale = np.abs(found - expected).max(), np.abs(expected).max()
                # Without running statistics a deep network may overflow, which training mends.
                if np.isfinite(scale) and not gap <= _REHEARSED * max(1, scale):
                    raise TrainingError(_unlike(gap, _REHEARSED * max(1, scale)))
    except TrainingError as error:
        raise TrainingError(
            f"what is trained with {pair} could not be served ({first_line(error)}): choose "
            "another train.architecture or train.encoder"
        ) from error
    finally:
        network.train(mode)


def check_parity(network: nn.Module, path: Path) -> float:
    """Compare onnxruntime with torch on shapes that were not traced.

    Sums taken in another order differ by rounding, which a deep transformer can make more of than
    is tolerated. It is told from a graph that computes something else by computing once more in
    float64: the graph may be off from that as far as torch itself is, or a little further.

    Args:
        network: The network.
        path: What was exported of it.

    Returns:
        Largest difference of a logit, relative to the larger of 1 and the logit's size.

    Raises:
        TrainingError: It is too large, or the graph cannot be run.
    """
    largest = 0.0
    for expected, found, images in _both(network, path, _PARITY):
        gap = _gap(found, expected)
        if gap > _TOLERANCE:
            exact = _in_float64(network, images)
            allowed = _ROUNDING * _gap(expected, exact)
            if not (math.isfinite(allowed) and _gap(found, exact) <= allowed):
                raise TrainingError(_unlike(gap, _TOLERANCE))
        largest = max(largest, gap)
    return largest


def _both(
    network: nn.Module, path: Path, shapes: Sequence[tuple[int, int, int, int]]
) -> Iterator[tuple[np.ndarray, np.ndarray, torch.Tensor]]:
    """Torch's logits, onnxruntime's, and the pictures, for each shape."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors arrive as exceptions
    session = None
    for shape in shapes:
        images = _pictures(network, shape)
        with torch.inference_mode():
            expected = network.cpu().eval()(images).numpy()
        try:
            session = session or onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            (found,) = session.run(["logits"], {"image": images.numpy()})
        except Exception as error:  # onnxruntime's errors share no public base
            raise TrainingError(
                f"onnxruntime cannot run the exported model: {first_line(error)}"
            ) from error
        if found.shape != expected.shape:
            raise TrainingError(
                f"the exported model gives {found.shape} where torch gives {expected.shape}"
            )
        yield expected, found, images


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference, relative to the larger of 1 and the logit; inf where one is no number."""
    gap = np.abs(one - other) / np.maximum(1, np.abs(other))
    # A NaN on either side must not pass for agreement.
    return float(np.where(np.isnan(gap), np.inf, gap).max())


def _in_float64(network: nn.Module, images: torch.Tensor) -> np.ndarray:
    """What the network computes with hardly any rounding; the network is left as it was."""
    import torch

    with torch.inference_mode():
        exact = copy.deepcopy(network).cpu().double().eval()(images.double())
    return np.asarray(exact.numpy())


def _unlike(gap: float, allowed: float) -> str:
    return (
        f"the exported model's logits differ from torch's by {gap:.2g} (more than {allowed:.2g}): "
        "this architecture and encoder cannot be exported faithfully"
    )


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

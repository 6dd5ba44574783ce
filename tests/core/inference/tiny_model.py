"""A one-convolution model that calls bright pixels objects, so that right answers are obvious."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from boatseg_core.inference.spec import MODEL_FILE, ModelSpec

SLOPE = 20.0


def write_model(
    folder: Path, *, cut: float = 0.5, input_name: str = "image", **fields: Any
) -> ModelSpec:
    """Write a model folder: logits = 20 * (mean of the channels - cut)."""
    import onnx
    from onnx import TensorProto, helper

    folder.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        [helper.make_node("Conv", [input_name, "weight", "bias"], ["logits"], kernel_shape=[1, 1])],
        "tiny",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [
            helper.make_tensor("weight", TensorProto.FLOAT, [1, 3, 1, 1], [SLOPE / 3] * 3),
            helper.make_tensor("bias", TensorProto.FLOAT, [1], [-SLOPE * cut]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, folder / MODEL_FILE)
    return ModelSpec(**{"min_area": 5, "architecture": "tiny", **fields}).save(folder)


def scene(
    width: int = 100, height: int = 80, boats: tuple[tuple[int, int, int, int], ...] = ()
) -> np.ndarray:
    """Dark sea with white rectangles (x, y, width, height): uint8 [H, W, 3]."""
    image = np.full((height, width, 3), 40, dtype=np.uint8)
    for x, y, w, h in boats:
        image[y : y + h, x : x + w] = 240
    return image


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    """Encode a picture."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind)
    return out.getvalue()

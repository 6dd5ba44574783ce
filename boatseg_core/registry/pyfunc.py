"""The registered model's code: image bytes in, objects out.

MLflow copies this file beside the model and runs it wherever the model is loaded ("models from
code"), so nothing is pickled. It is never imported by the rest of the house, and it needs nothing
of it but ``boatseg_core.inference``.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

# Not under TYPE_CHECKING: MLflow reads the hints of `predict`.
import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model  # noqa: TID253 (MLflow itself runs this file)
from mlflow.pyfunc.model import PythonModel  # noqa: TID253

from boatseg_core.errors import ImageError
from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.inference.prediction import Prediction
from boatseg_core.inference.predictor import Predictor


class BoatsegModel(PythonModel):
    """Predicts the objects in pictures.

    Input is a frame with a column ``image``: encoded pictures as bytes, or as base64 text. Output
    is a frame with one row a picture: ``boat_count``, ``boat_area``, lists with one entry an object
    (``rles``, ``boxes``, ``areas``, ``scores``), ``width``, ``height`` and ``error``, which is
    empty unless the picture could not be read. With the parameter ``mask`` there is also
    ``mask_png``, a 1-bit PNG as base64 text.

    Attributes:
        predictor: The predictor, once MLflow has loaded the model.
    """

    predictor: Predictor

    def load_context(self, context: Any) -> None:
        """Load the ONNX graph; MLflow calls this.

        ``predictor`` in ``model_config`` may hold ``threads`` and ``batch_size``, and
        ``threshold``, ``min_area`` and ``split_neck`` to overrule the model's own.
        """
        options = (context.model_config or {}).get("predictor", {})
        self.predictor = Predictor.load(Path(context.artifacts["model"]), **options)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict a frame of pictures."""
        with_mask = bool((params or {}).get("mask", False))
        answers = self.predictor.stream(_bytes(value) for value in model_input["image"])
        rows = [_row(answer, with_mask) for answer in answers]
        return pd.DataFrame(rows, columns=_columns(with_mask), index=model_input.index)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            return value.encode()  # refused below as no image, for this row alone
    return bytes(value) if value is not None else b""


def _columns(with_mask: bool) -> list[str]:
    columns = ["boat_count", "boat_area", "rles", "boxes", "areas", "scores", "width", "height"]
    return [*columns, "error", *(["mask_png"] if with_mask else [])]


def _row(answer: Prediction | ImageError, with_mask: bool) -> dict[str, Any]:
    failed = isinstance(answer, ImageError)
    found = Prediction(0, 0, [], [], [], []) if isinstance(answer, ImageError) else answer
    row = {
        "boat_count": found.boat_count,
        "boat_area": found.boat_area,
        "rles": found.rles,
        "boxes": found.boxes,
        "areas": found.areas,
        "scores": found.scores,
        "width": found.width,
        "height": found.height,
        "error": str(answer) if failed else "",
    }
    if with_mask:
        png = b"" if failed else encode_mask(found.mask())
        row["mask_png"] = base64.b64encode(png).decode("ascii")
    return row


set_model(BoatsegModel())

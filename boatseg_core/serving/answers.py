"""The shapes of the service's successful answers."""

from __future__ import annotations

import base64

from pydantic import BaseModel, Field

from boatseg_core.imaging.mask_png import encode_mask
from boatseg_core.inference.prediction import Prediction
from boatseg_core.registry.lookup import ModelRef


class Boat(BaseModel):
    """One object."""

    box: list[int] = Field(description="x, y, width, height in pixels; x and y zero-based.")
    area: int = Field(description="Area of the object in pixels.")
    score: float = Field(
        description="Probability that the object is a true one (IoU over 0.5), 0 to 1; of a model "
        "without calibration the mean probability over its pixels."
    )
    rle: str = Field(description="Run lengths: 'start length ...', column-major, 1-indexed.")


class Model(BaseModel):
    """The model that answered."""

    name: str
    version: int


class Timing(BaseModel):
    """Where the time went."""

    wait_ms: float = Field(description="From arrival to the start of the prediction.")
    predict_ms: float = Field(description="Decoding, the network, finding the objects.")


class PredictResponse(BaseModel):
    """What was found in a picture."""

    request_id: str
    model: Model
    class_name: str = Field(description="What one object is called.")
    width: int = Field(description="Width of the picture in pixels, EXIF orientation applied.")
    height: int = Field(description="Height of the picture in pixels, likewise.")
    boat_count: int = Field(description="How many objects were found.")
    boat_area: int = Field(description="Pixels of all objects.")
    boats: list[Boat]
    mask_png: str | None = Field(
        default=None, description="Objects white on black, a 1-bit PNG as base64; on request."
    )
    timing: Timing


def build(
    prediction: Prediction,
    *,
    request_id: str,
    model: ModelRef,
    class_name: str,
    with_mask: bool,
    wait_ms: float,
    predict_ms: float,
) -> PredictResponse:
    """Put an answer together; times are in milliseconds."""
    png = base64.b64encode(encode_mask(prediction.mask())).decode("ascii") if with_mask else None
    return PredictResponse(
        request_id=request_id,
        model=Model(name=model.name, version=model.version),
        class_name=class_name,
        width=prediction.width,
        height=prediction.height,
        boat_count=prediction.boat_count,
        boat_area=prediction.boat_area,
        boats=[
            Boat(box=box, area=area, score=score, rle=rle)
            for box, area, score, rle in zip(
                prediction.boxes,
                prediction.areas,
                prediction.scores,
                prediction.rles,
                strict=True,
            )
        ],
        mask_png=png,
        timing=Timing(wait_ms=round(wait_ms, 3), predict_ms=round(predict_ms, 3)),
    )

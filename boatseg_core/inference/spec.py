"""What a model folder says about itself: ``boatseg.json`` beside ``model.onnx``.

A model folder holds exactly these two files. The description carries the checksum of the graph,
so a folder whose halves do not belong together is refused when it is loaded, and weights must live
inside ``model.onnx`` (no external data file): one checksum then covers all of the model.
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from boatseg_core.errors import RegistryError
from boatseg_core.inference.calibration import ScoreCalibration

MODEL_FILE = "model.onnx"
SPEC_FILE = "boatseg.json"


class ModelSpec(BaseModel):
    """Description of one exported model.

    The graph takes ``input_name`` float32 ``[N, 3, H, W]``, RGB in 0..1 (normalisation is inside
    the graph), height and width multiples of ``multiple``; it gives ``output_name`` float32
    ``[N, 1, H, W]`` logits.

    Attributes:
        format_version: Layout of this file; another layout is refused.
        class_name: What one object is called.
        input_name: Name of the graph's input.
        output_name: Name of the graph's output.
        multiple: Height and width of the input are multiples of this, in pixels.
        threshold: A pixel with a higher probability belongs to an object.
        min_area: Connected regions with fewer pixels are dropped.
        split_neck: Regions are cut at necks narrower than this share of the narrower part; 0, as
            in models from before there was this field, leaves them whole.
        score_calibration: Turns what the pixels of an object say into the probability that it is a
            true one; None, as in models from before there was this field, scores it by the mean
            probability of its pixels.
        onnx_sha256: Checksum of ``model.onnx`` in lower-case hexadecimal; :meth:`save` fills it.
        architecture: Architecture of segmentation-models-pytorch.
        encoder: Encoder of segmentation-models-pytorch.
        gold_version: Delta version of ``gold_dataset`` the model was trained on.
        created_at: When the model was exported, in UTC.
        git_commit: Commit of the code that trained it; empty where there is no checkout.
        metrics: Test metrics (``boat_iou``, ``per_image_iou``, ``floor_per_image_iou``, ...); a
            number that is not finite is kept as None, since JSON has none.
        params: What the training was run with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    class_name: str = Field(default="boat", min_length=1)
    input_name: str = "image"
    output_name: str = "logits"
    multiple: int = Field(default=32, ge=1, le=1024)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    min_area: int = Field(default=30, ge=0)
    split_neck: float = Field(default=0.0, ge=0, lt=1)
    score_calibration: ScoreCalibration | None = None
    onnx_sha256: str = Field(default="", pattern=r"^(|[0-9a-f]{64})$")
    architecture: str = ""
    encoder: str = ""
    gold_version: int | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    git_commit: str = ""
    metrics: dict[str, float | None] = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("metrics")
    @classmethod
    def _finite_or_none(cls, metrics: dict[str, float | None]) -> dict[str, float | None]:
        return {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in metrics.items()
        }

    def metric(self, name: str) -> float:
        """Return a metric, NaN where it is missing or was not finite."""
        value = self.metrics.get(name)
        return math.nan if value is None else value

    def save(self, folder: Path) -> ModelSpec:
        """Write ``boatseg.json`` beside the folder's ``model.onnx``.

        Args:
            folder: Folder that already holds ``model.onnx``.

        Returns:
            This description with ``onnx_sha256`` filled in.

        Raises:
            RegistryError: There is no ``model.onnx`` in the folder.
        """
        spec = self.model_copy(
            update={"onnx_sha256": hashlib.sha256(read_graph(folder)).hexdigest()}
        )
        (folder / SPEC_FILE).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return spec

    @classmethod
    def load(cls, folder: Path) -> ModelSpec:
        """Read a model folder's description and check that its graph belongs to it.

        Raises:
            RegistryError: A file is missing, the description is not valid, or the graph's
                checksum is another.
        """
        return load_model(folder)[0]


def load_model(folder: Path) -> tuple[ModelSpec, bytes]:
    """Read both files of a model folder; the bytes returned are the bytes that were checked.

    Raises:
        RegistryError: See :meth:`ModelSpec.load`.
    """
    path = folder / SPEC_FILE
    try:
        spec = ModelSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be read ({error.strerror}): {folder} is not a boatseg model folder"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or SPEC_FILE
        raise RegistryError(
            f"{path} does not describe a model this version can run: {where}: {first['msg']}; "
            "register the model again"
        ) from error
    graph = read_graph(folder)
    found = hashlib.sha256(graph).hexdigest()
    if found != spec.onnx_sha256:
        raise RegistryError(
            f"{folder / MODEL_FILE} is not the graph {SPEC_FILE} describes (sha256 {found[:12]}, "
            f"expected {spec.onnx_sha256[:12] or 'none recorded'}): register the model again"
        )
    return spec, graph


def read_graph(folder: Path) -> bytes:
    """Read ``model.onnx``.

    Raises:
        RegistryError: It cannot be read.
    """
    path = folder / MODEL_FILE
    try:
        return path.read_bytes()
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be read ({error.strerror}): {folder} is not a boatseg model folder"
        ) from error

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tiny_model import write_model

from boatseg_core.errors import RegistryError
from boatseg_core.inference.calibration import ScoreCalibration
from boatseg_core.inference.spec import MODEL_FILE, SPEC_FILE, ModelSpec


def test_round_trip(tmp_path: Path) -> None:
    saved = write_model(
        tmp_path, metrics={"boat_iou": 0.6, "nothing": math.nan}, params={"crop": 256}
    )
    loaded = ModelSpec.load(tmp_path)
    assert loaded == saved
    assert len(loaded.onnx_sha256) == 64
    assert loaded.metric("boat_iou") == 0.6
    assert math.isnan(loaded.metric("nothing"))
    assert math.isnan(loaded.metric("never measured"))
    json.loads((tmp_path / SPEC_FILE).read_text(), parse_constant=pytest.fail)  # strict JSON


def test_scores_are_part_of_the_model_and_older_models_load(tmp_path: Path) -> None:
    weights = ScoreCalibration(bias=-2.5, slope=0.5, objects=40, true=31)
    write_model(tmp_path, score_calibration=weights)
    assert ModelSpec.load(tmp_path).score_calibration == weights
    fields = json.loads((tmp_path / SPEC_FILE).read_text())
    for old in ("score_calibration", "split_neck"):
        del fields[old]
    (tmp_path / SPEC_FILE).write_text(json.dumps(fields))
    assert ModelSpec.load(tmp_path).score_calibration is None
    fields["score_calibration"] = {"bias": 0, "slope": -0.1}  # surer must not score lower
    (tmp_path / SPEC_FILE).write_text(json.dumps(fields))
    with pytest.raises(RegistryError, match=r"score_calibration\.slope"):
        ModelSpec.load(tmp_path)


def test_another_graph_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes((tmp_path / MODEL_FILE).read_bytes() + b"\0")
    with pytest.raises(RegistryError, match=r"is not the graph boatseg\.json describes"):
        ModelSpec.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format_version": 2}, "format_version"),
        ({"threshold": 1.5}, "threshold"),
        ({"onnx_sha256": "abc"}, "onnx_sha256"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, object], named: str) -> None:
    write_model(tmp_path)
    fields = json.loads((tmp_path / SPEC_FILE).read_text())
    (tmp_path / SPEC_FILE).write_text(json.dumps(fields | change))
    with pytest.raises(RegistryError, match=named):
        ModelSpec.load(tmp_path)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="not a boatseg model folder"):
        ModelSpec.load(tmp_path)
    with pytest.raises(RegistryError, match="not a boatseg model folder"):
        ModelSpec().save(tmp_path)
    write_model(tmp_path)
    (tmp_path / SPEC_FILE).write_text("{")
    with pytest.raises(RegistryError, match=SPEC_FILE):
        ModelSpec.load(tmp_path)

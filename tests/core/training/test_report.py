from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boatseg_core.errors import InputError
from boatseg_core.inference.prediction import from_logits
from boatseg_core.inference.spec import ModelSpec
from boatseg_core.training.evaluate import Evaluation, evaluate
from boatseg_core.training.report import render, warnings, write_report


class Brightness:
    def __init__(self, **spec: object) -> None:
        self.threshold, self.min_area, self.split_neck = 0.5, 20, 0.0
        self.spec = ModelSpec(**spec)

    def logits(self, image: np.ndarray) -> np.ndarray:
        shade = np.clip(image.mean(2) / 255, 0.01, 0.99)
        return np.log(shade / (1 - shade)).astype(np.float32)

    def predict_arrays(self, images: list[np.ndarray]) -> list[object]:
        return [from_logits(self.logits(i), threshold=0.5, min_area=20) for i in images]


def test_the_page_stands_alone_and_says_the_numbers(gold, tmp_path):
    found = evaluate(Brightness(class_name="<b>dhow"), gold, "test", draws=50)
    files = write_report(found, tmp_path / "deep" / "report", heading="model <x> & test")

    facts = json.loads(files.facts.read_text())
    assert facts == json.loads(json.dumps(found.facts))
    page = files.page.read_text()
    assert "model &lt;x&gt; &amp; test" in page and "<b>dhow" not in page
    assert f"{facts['headlines']['boat_iou']['value']:.3f}" in page
    assert f"{facts['headlines']['boat_iou']['low']:.3f} to" in page
    # Nothing is fetched and nothing runs: every source is inside.
    assert "<script" not in page and not re.findall(r"(?:src|href)=['\"](?!data:)", page)
    assert "scene-" in page and "None." in page  # examples are named; there was no false alarm
    with Image.open(files.figure) as picture:
        assert picture.size == (1500, 940) and np.asarray(picture.convert("L")).std() > 20
    assert sorted(p.name for p in files.page.parent.iterdir()) == [
        "evaluation.html", "evaluation.json", "evaluation.png",
    ]  # fmt: skip


def test_a_split_with_nothing_in_it_can_be_drawn(write_gold):
    found = evaluate(Brightness(), write_gold(test=(0, 3)), "test", draws=10)
    page = render(found, b"png", "nothing")
    assert "No image of the split shows a boat" in page and "nan" not in page.lower()
    from boatseg_core.training.report_plots import figure

    assert Image.open(io.BytesIO(figure(found.facts))).format == "PNG"


def test_what_flatters_is_told(gold):
    found = evaluate(Brightness(gold_version=gold.version), gold, "train", draws=10)
    said = " ".join(warnings(found.facts))
    assert "trained on 14 of these images" in said and "only 14 groups" in said


def test_a_folder_that_cannot_be_written_is_named(gold, tmp_path):
    (tmp_path / "file").write_text("")
    found = evaluate(Brightness(), gold, "test", draws=10)
    with pytest.raises(InputError, match=r"cannot be written .*--output"):
        write_report(Evaluation(found.facts), tmp_path / "file", heading="x")
    assert Path(tmp_path / "file").read_text() == ""

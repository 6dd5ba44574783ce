from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boatseg_core.config import Settings
from boatseg_core.errors import InputError
from boatseg_core.labels.sources.base import Annotation, Problem
from boatseg_core.labels.sources.choose import open_source
from boatseg_core.labels.sources.coco import Coco

SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]


def read(tmp_path: Path, content: Any, **options: Any) -> list[Annotation | Problem]:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    return list(Coco(path, **options).rows())


def image(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": 8, "height": 6, **more}


@pytest.mark.parametrize("annotations_first", [False, True])
def test_annotations_of_every_form_become_rows(tmp_path: Path, annotations_first: bool) -> None:
    counts = {"size": [6, 8], "counts": [40, 8]}
    compressed = {"size": [6, 8], "counts": "X18"}
    annotations = {
        "annotations": [
            {"id": 7, "image_id": 1, "category_id": 3, "segmentation": SQUARE, "iscrowd": 0},
            {"id": 8, "image_id": 2, "category_id": 3, "segmentation": counts, "iscrowd": 1},
            {"id": 9, "image_id": 1, "category_id": 3, "segmentation": compressed},
        ]
    }
    rest = {
        "info": {"year": 2026},
        "images": [image(1, "a.jpg"), image(2, "b.jpg", width=None), image(3, "c.jpg")],
        "categories": [{"id": 3, "name": "boat"}],
    }
    members = annotations | rest if annotations_first else rest | annotations
    rows = read(tmp_path, members)
    polygon, crowd, string, empty = rows
    assert polygon == Annotation(
        "a.jpg", "[[0,0,4,0,4,4,0,4]]", 1, "coco_polygon", 8, 6, "/annotations/0",
        category="boat", crowd=False,
    )  # fmt: skip
    assert isinstance(crowd, Annotation)
    assert (crowd.image_id, crowd.kind, crowd.width, crowd.crowd) == (
        "b.jpg",
        "coco_rle",
        None,
        True,
    )
    assert isinstance(string, Annotation)
    assert json.loads(string.text or "") == compressed
    assert empty == Annotation("c.jpg", "", 3, "coco_polygon", 8, 6, "/images/2")


def test_numbers_keep_every_bit(tmp_path: Path) -> None:
    numbers = [0.1, 1e-7, 123456.789012345, 3, 2.0000000000000004, -0.0]
    content = {
        "images": [image(1, "a.jpg")],
        "annotations": [{"image_id": 1, "segmentation": [numbers]}],
    }
    (row,) = read(tmp_path, content)
    assert isinstance(row, Annotation)
    (back,) = json.loads(row.text or "")
    assert [repr(n) for n in back] == [repr(n) for n in numbers]


def test_only_the_wanted_categories_are_objects(tmp_path: Path) -> None:
    content = {
        "images": [image(1, "a.jpg"), image(2, "b.jpg")],
        "categories": [{"id": 1, "name": "boat"}, {"id": 2, "name": "buoy"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "segmentation": SQUARE},
            {"image_id": 1, "category_id": 2, "segmentation": SQUARE},
            {"image_id": 2, "category_id": 2, "segmentation": SQUARE},
        ],
    }
    rows = read(tmp_path, content, categories=("boat", "ship"))
    assert [(r.image_id, r.element, r.category) for r in rows if isinstance(r, Annotation)] == [
        ("a.jpg", "/annotations/0", "boat"),
        ("b.jpg", "/images/1", None),  # nothing that is wanted: labelled as empty
    ]


def test_dangling_and_broken_elements_have_a_reason_and_the_others_stay(tmp_path: Path) -> None:
    content = {
        "images": [
            image(1, "a.jpg"),
            image(1, "again.jpg"),
            {"id": 5},
            "text",
            {"file_name": "x.jpg", "id": True},
        ],
        "categories": [{"id": 1, "name": "boat"}],
        "annotations": [
            {"image_id": 99, "category_id": 1, "segmentation": SQUARE},
            {"image_id": 1, "category_id": 42, "segmentation": SQUARE},
            {"category_id": 1, "segmentation": SQUARE},
            {"image_id": [1], "category_id": 1, "segmentation": SQUARE},
            None,
            {"image_id": 1, "category_id": 1},
        ],
    }
    rows = read(tmp_path, content)
    problems = [(r.element, r.reason) for r in rows if isinstance(r, Problem)]
    assert problems == [
        ("/images/1", "duplicate_id"),
        ("/images/2", "incomplete"),
        ("/images/3", "not_an_object"),
        ("/images/4", "incomplete"),
        ("/annotations/0", "dangling_image"),
        ("/annotations/1", "dangling_category"),
        ("/annotations/2", "dangling_image"),
        ("/annotations/3", "dangling_image"),
        ("/annotations/4", "not_an_object"),
    ]
    kept = [(r.image_id, r.element, r.text) for r in rows if isinstance(r, Annotation)]
    square = "[[0,0,4,0,4,4,0,4]]"
    assert kept == [
        ("", "/annotations/0", square),
        ("a.jpg", "/annotations/1", square),
        ("", "/annotations/2", square),
        ("", "/annotations/3", square),
        ("a.jpg", "/annotations/5", "null"),
    ]


def test_json_of_another_kind_is_refused_by_its_head(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"version": "1.0", "rows": [1, 2]}')
    settings = Settings(home=tmp_path)
    with pytest.raises(InputError, match=r"neither COCO .* nor GeoJSON"):
        open_source(path, settings)
    path.write_text('{"images": [], "annotations": []}')
    source = open_source(path, settings)
    assert source.kind == "coco"
    source.check()
    assert list(source.rows()) == []
    path.write_text('{"features": []}')
    assert open_source(path, settings).kind == "geojson"
    with pytest.raises(InputError, match="none of the COCO members"):
        Coco(path).check()

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boatseg_core.errors import InputError
from boatseg_core.labels.sources.base import Annotation, Problem
from boatseg_core.labels.sources.geojson import GeoJson

RING = [[0, 0], [4, 0], [4, 4], [0, 0]]
POLYGON = {"type": "Polygon", "coordinates": [RING]}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def read(tmp_path: Path, content: Any, **options: Any) -> list[Annotation | Problem]:
    path = tmp_path / "harbour.geojson"
    path.write_text(json.dumps(content))
    source = GeoJson(path, **options)
    source.check()
    return list(source.rows())


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def test_features_name_their_images(tmp_path: Path) -> None:
    multi = {"type": "MultiPolygon", "coordinates": [[RING], [RING]], "bbox": [0, 0, 4, 4]}
    rows = read(
        tmp_path,
        collection(
            feature(POLYGON, image="a.jpg", category="boat"),
            feature(multi, image="b.jpg"),
            feature(None, image="c.jpg"),
        ),
    )
    text = '{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]}'
    first, second, third = rows
    assert first == Annotation("a.jpg", text, 1, "geojson", element="/features/0", category="boat")
    assert isinstance(second, Annotation)
    assert json.loads(second.text or "") == {k: multi[k] for k in ("type", "coordinates")}
    assert third == Annotation("c.jpg", "", 3, "geojson", element="/features/2")


@pytest.mark.parametrize("content", [collection(feature(POLYGON)), feature(POLYGON)])
def test_without_a_property_the_file_names_the_image(tmp_path: Path, content: Any) -> None:
    (row,) = read(tmp_path, content)
    assert isinstance(row, Annotation)
    assert (row.image_id, row.by_stem) == ("harbour", True)
    (row,) = read(tmp_path, content, stem="sub/other")
    assert row.image_id == "sub/other"


def test_no_feature_is_an_image_without_objects(tmp_path: Path) -> None:
    (row,) = read(tmp_path, collection())
    assert row == Annotation("harbour", "", 1, "geojson", element="/features", by_stem=True)


def test_only_the_wanted_categories_are_objects(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        collection(
            feature(POLYGON, image="a.jpg", kind="boat"),
            feature(POLYGON, image="b.jpg", kind="buoy"),
            feature(POLYGON, image="c.jpg"),
        ),
        category_property="kind",
        categories=("boat",),
    )
    assert [(r.image_id, bool(r.text)) for r in rows if isinstance(r, Annotation)] == [
        ("a.jpg", True), ("b.jpg", False), ("c.jpg", False),
    ]  # fmt: skip


def test_broken_features_have_a_reason(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        collection(
            feature(POLYGON, image="a.jpg"),
            feature(POLYGON),
            feature(POLYGON, image=7),
            "text",
            feature({"type": "Point", "coordinates": [1, 2]}, image="b.jpg"),
            feature("text", image="b.jpg"),
        ),
    )
    assert [(r.element, r.reason) for r in rows if isinstance(r, Problem)] == [
        ("/features/1", "no_image"),
        ("/features/2", "no_image"),
        ("/features/3", "not_an_object"),
    ]
    # What has no area is a row all the same, refused when it is drawn.
    assert [r.text for r in rows if isinstance(r, Annotation)][1:] == [
        '{"type":"Point"}',
        '{"type":"text"}',
    ]


def test_another_kind_of_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a FeatureCollection nor a Feature"):
        read(tmp_path, {"type": "Topology"})
